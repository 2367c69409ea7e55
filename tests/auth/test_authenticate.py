"""Authentication: every combination of credentials in a request, against a small model of the rule."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from app.auth.authentication import authenticate
from app.auth.browser_rules import check_browser_rules
from app.auth.browsers import LIFETIME_S
from app.auth.guards import headers_of
from app.auth.tokens import Keyring
from app.errors import ForbiddenError, UnauthorizedError
from app.settings import Settings
from tests.support import FakeClock

HOST = b"127.0.0.1:3000"
CONFIGURED = "https://console.example"
SHOWN = ("none", "right", "wrong")
COOKIES = (*SHOWN, "expired")
ORIGINS = {
    "none": None,
    "own": b"http://" + HOST,
    "foreign": b"http://127.0.0.1:4000",
    "configured": CONFIGURED.encode(),
}
KINDS = ("safe", "unsafe", "ws")
BASIC = (b"authorization", b"Basic dXNlcjpwYXNz")
Headers = list[tuple[bytes, bytes]]


def model(tokens: set[str], cookie: str, keys: dict[str, str], origin: str, kind: str) -> bool:
    """The rule in its own words; a `Basic` authorization plays no part in it."""
    if origin == "foreign":
        return False
    if tokens != {"none"}:
        return tokens <= {"none", "right"}
    counting = {keys["header"], keys["subprotocol"]} | (
        {keys["query"]} if kind == "safe" else set()
    )
    is_own_page = kind == "safe" or origin != "none"
    return cookie == "right" and is_own_page and counting in ({"right"}, {"right", "none"})


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(Settings(state_dir=tmp_path), FakeClock())


@pytest.mark.slow
def test_a_request_is_let_in_only_as_the_model_says(tmp_path: Path) -> None:
    clock = FakeClock()
    keyring = Keyring(Settings(state_dir=tmp_path), clock)
    old = keyring.browser_sessions.begin()
    clock.advance(LIFETIME_S - 1)
    log_in, other = keyring.browser_sessions.begin(), keyring.browser_sessions.begin()
    clock.advance(2)
    token = {"right": keyring.session_token.reveal().encode(), "wrong": b"wrong"}
    cookies = {
        "right": log_in.cookie.encode(),
        "wrong": log_in.key.encode(),
        "expired": old.cookie.encode(),
    }
    key = {"right": log_in.key.encode(), "wrong": other.key.encode()}

    def tokens(header: str, bearer: str, subprotocol: str) -> Headers:
        headers = [(b"x-session-token", token[header])] if header in token else []
        if bearer in token:
            headers.append((b"authorization", b"Bearer " + token[bearer]))
        if subprotocol in token:
            headers.append((b"sec-websocket-protocol", b"events.v1, token." + token[subprotocol]))
        return headers

    def browser(cookie: str, header: str, subprotocol: str) -> Headers:
        headers = [(b"x-browser-key", key[header])] if header in key else []
        if cookie in cookies:
            headers.append((b"cookie", b"sightline_3000=" + cookies[cookie]))
        if subprotocol in key:
            headers.append((b"sec-websocket-protocol", b"events.v1, key." + key[subprotocol]))
        return headers

    def is_let_in(headers: Headers, query: bytes, kind: str) -> bool:
        try:
            check_browser_rules(headers, (), (CONFIGURED,))
            authenticate(headers, query, keyring, changes=kind != "safe")
        except (ForbiddenError, UnauthorizedError):
            return False
        return True

    wrong, let_in, tried = [], 0, 0
    for shown, basic, cookie, in_header, in_subprotocol, in_query, origin, kind in itertools.product(
        itertools.product(SHOWN, SHOWN, SHOWN), (False, True), COOKIES, SHOWN, SHOWN, SHOWN,
        ORIGINS, KINDS,
    ):  # fmt: skip
        headers = [(b"host", HOST), *tokens(*shown), *browser(cookie, in_header, in_subprotocol)]
        if basic:
            headers.append(BASIC)
        if (value := ORIGINS[origin]) is not None:
            headers.append((b"origin", value))
        query = b"browser_key=" + key[in_query] if in_query in key else b""
        keys = {"header": in_header, "subprotocol": in_subprotocol, "query": in_query}
        expected = model({*shown}, cookie, keys, origin, kind)
        tried, let_in = tried + 1, let_in + expected
        if is_let_in(headers, query, kind) != expected:
            wrong.append((shown, basic, cookie, keys, origin, kind, expected))
    assert wrong == []
    assert 0 < let_in < tried == 27 * 2 * 4 * 27 * 4 * 3


@pytest.mark.parametrize("value", [b"Basic x", b"Digest x", b"Negotiate", b"secret", b"", b" "])
def test_an_authorization_that_is_no_bearer_counts_as_absent(
    keyring: Keyring, value: bytes
) -> None:
    token = (b"x-session-token", keyring.session_token.reveal().encode())
    other = (b"authorization", value)
    assert authenticate([token, other], b"", keyring, changes=True).kind == "token"
    with pytest.raises(UnauthorizedError, match="no session token"):
        authenticate([other], b"", keyring, changes=False)


@pytest.mark.parametrize("value", [b"Bearer", b"Bearer ", b"bearer x", b"BEARER  wrong"])
def test_a_bearer_that_is_not_the_token_is_refused_beside_the_right_one(
    keyring: Keyring, value: bytes
) -> None:
    token = (b"x-session-token", keyring.session_token.reveal().encode())
    with pytest.raises(UnauthorizedError, match="token is wrong"):
        authenticate([token, (b"authorization", value)], b"", keyring, changes=False)


def test_two_cookies_of_one_name_count_only_if_they_are_the_same(keyring: Keyring) -> None:
    one, two = keyring.browser_sessions.begin(), keyring.browser_sessions.begin()

    def is_let_in(*cookies: str) -> bool:
        pairs = "; ".join(f"sightline_3000={cookie}" for cookie in cookies)
        headers = [(b"host", HOST), (b"cookie", pairs.encode())]
        try:
            authenticate(
                [*headers, (b"x-browser-key", one.key.encode())], b"", keyring, changes=False
            )
        except UnauthorizedError:
            return False
        return True

    assert is_let_in(one.cookie)
    assert is_let_in(one.cookie, one.cookie)
    assert not is_let_in(one.cookie, two.cookie)
    assert not is_let_in(two.cookie, one.cookie)
    assert not is_let_in(one.cookie, "stale")


def test_a_key_may_be_sent_again_but_no_wrong_one_beside_it_also_as_strange_bytes(
    keyring: Keyring,
) -> None:
    log_in = keyring.browser_sessions.begin()
    headers = [(b"host", HOST), (b"cookie", f"sightline_3000={log_in.cookie}".encode())]
    key = log_in.key.encode()
    good = b"browser_key=" + key
    authenticate(headers, good + b"&types=*&" + good, keyring, changes=False)
    for query in (good + b"&browser_key=", b"browser_key=%00%ff", b"browser_key=\xff", good + b"x"):
        with pytest.raises(UnauthorizedError, match="another log-in's"):
            authenticate(headers, query, keyring, changes=False)
    with pytest.raises(UnauthorizedError, match="X-Browser-Key"):
        authenticate(headers, good[8:], keyring, changes=False)


def test_headers_that_were_changed_are_read_again_and_those_of_an_upgrade_are_not_kept() -> None:
    scope: Any = {"type": "http", "headers": [(b"Host", b"a"), (b"host", b"b")], "state": {}}
    first = headers_of(scope)
    assert first == {b"host": [b"a", b"b"]}
    assert headers_of({**scope}) is first
    assert headers_of({**scope, "headers": [(b"host", b"c")]}) == {b"host": [b"c"]}
    scope["headers"].append((b"host", b"d"))  # as middlewares do
    assert headers_of(scope) == {b"host": [b"a", b"b", b"d"]}
    upgrade: Any = {**scope, "type": "websocket", "state": {}}
    assert headers_of(upgrade) == {b"host": [b"a", b"b", b"d"]}
    assert upgrade["state"] == {}
