"""The users whom a trusted proxy names: from its address alone, once, as one name, from our own pages."""

import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.auth.authentication import authenticate
from app.auth.browser_rules import check_browser_rules
from app.auth.credentials import Credential, Headers
from app.auth.guards import came_from
from app.auth.named import NamedToken, check
from app.auth.tokens import Keyring
from app.auth.trusted_users import LIFETIME_S, UNIX, TrustedUsers, users_of
from app.errors import BadRequestError, ForbiddenError, SettingsError, UnauthorizedError
from app.settings import Settings
from tests.kit.tokens import new_token
from tests.snippets import snippets
from tests.support import FakeClock

DOCUMENTED, _, _, BY_JWT = snippets("docs/users.md", "sh nginx nginx sh")
HEADER = "X-Forwarded-User"
PROXY = "10.0.0.5"
HOST = b"gateway.example"
OWN = (b"origin", b"https://gateway.example")
USERS = ("alice=admin", "bob=read:git.*,workflow.*", "bob=publish:deploy.*", "*=read:chat.*")


def users(*proxies: str, entries: tuple[str, ...] = USERS) -> TrustedUsers:
    return TrustedUsers(HEADER, proxies or (PROXY,), entries, FakeClock())


def named(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", HOST), *((b"x-forwarded-user", value) for value in values)]


@pytest.mark.parametrize(
    ("proxies", "peer", "trusted"),
    [
        ((PROXY,), PROXY, True),
        ((PROXY,), "10.0.0.6", False),
        ((PROXY,), "::ffff:10.0.0.5", True),  # as a socket for both families says it
        ((PROXY,), "::ffff:10.0.0.6", False),
        (("10.0.0.0/24", "fd00::/8"), "10.0.0.255", True),
        (("10.0.0.0/24", "fd00::/8"), "fd12::1", True),
        (("10.0.0.0/24", "fd00::/8"), "fe80::1%eth0", False),
        (("127.0.0.1",), "::1", False),
        ((PROXY,), "testclient", False),
        ((PROXY,), "", False),
        ((PROXY,), None, False),
        ((PROXY,), UNIX, False),
        ((UNIX,), UNIX, True),
        ((UNIX,), None, False),
        ((UNIX,), "127.0.0.1", False),
    ],
)
def test_the_header_counts_from_a_configured_peer_alone(
    proxies: tuple[str, ...], peer: str | None, trusted: bool
) -> None:
    ours = users(*proxies)
    assert ours.named_in(named(), peer) is None
    if trusted:
        assert ours.named_in(named(b"alice"), peer) == "alice"
    else:
        with pytest.raises(UnauthorizedError, match="SIGHTLINE_TRUSTED_PROXIES"):
            ours.named_in(named(b"alice"), peer)


@pytest.mark.parametrize(
    "values",
    [
        (b"",),
        (b"alice", b"alice"),
        (b"alice", b""),
        (b"alice,bob",),
        (b"alice bob",),
        (b"*",),
        (b"al\xc3\xafce",),
        (b"alice\x00",),
        (b"alice\n",),
        (b"a" * 129,),
        (b"\xff",),
    ],
)
def test_what_is_not_one_name_is_refused_also_from_the_proxy(values: tuple[bytes, ...]) -> None:
    with pytest.raises(UnauthorizedError, match="must be sent once"):
        users().named_in(named(*values), PROXY)


def test_a_user_may_do_what_the_settings_list_and_others_what_the_star_says() -> None:
    ours = users()
    alice, bob, eve = (ours.credential(name).access for name in ("alice", "bob", "eve@x.org"))
    assert alice.is_admin
    assert (bob.scopes, bob.read, bob.publish) == (
        {"read", "publish"},
        ("git.*", "workflow.*"),
        ("deploy.*",),
    )
    assert (eve.scopes, eve.read, eve.publish) == ({"read"}, ("chat.*",), ())
    assert [access.name for access in (alice, bob, eve)] == [
        "user:alice",
        "user:bob",
        "user:eve@x.org",
    ]
    assert eve.is_named
    with pytest.raises(ForbiddenError, match=r"'eve' is not one of those .* add eve=read to"):
        users(entries=USERS[:3]).credential("eve")
    with pytest.raises(ForbiddenError, match=r"the user 'user:eve' .* add eve=publish to"):
        ours.credential("eve").access.require("publish")
    assert users(entries=Settings().trusted_users).credential("eve").access.scopes == {"read"}


def test_no_named_token_has_the_name_of_a_user() -> None:
    for name in ("user:alice", "jwt:alice"):
        token: NamedToken = new_token(name, "read")
        with pytest.raises(BadRequestError, match="token name"):
            check(token)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("alice=everything", "a scope is read, publish or admin"),
        ("al ice=read", "a user has"),
        ("=read", "a user has"),
        ("alice=read:", "give 1 to 32 patterns"),
        ("alice=read:" + ",".join(f"a.x{i}" for i in range(33)), "give 1 to 32 patterns"),
        ("alice=read:Git.*", "Git"),
        ("alice=admin:git.*", "cannot be held to patterns"),
        ("alice=read", "twice"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(entry: str, why: str) -> None:
    with pytest.raises(SettingsError, match=r"SIGHTLINE_TRUSTED_USERS: .* does not fit") as caught:
        users(entries=("alice=read", entry))
    assert why in str(caught.value)


def test_the_settings_of_the_document_are_what_it_says() -> None:
    run = subprocess.run(
        ["bash", "-c", f"{DOCUMENTED}{BY_JWT}\nenv -0"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    lines = (line.partition("=") for line in run.stdout.split("\0"))
    found = {name: text for name, _, text in lines if name.startswith("SIGHTLINE_")}
    settings = Settings.from_environ(found)
    assert settings.jwt_jwks is not None
    assert settings.jwt_audience == ("sightline",)
    ours = users_of(settings, FakeClock())
    assert ours is not None
    assert ours.trusts(PROXY)
    assert ours.credential("alice@example.org").access.is_admin
    bob = ours.credential("bob@example.org").access
    assert (bob.read, bob.publish) == (("git.*", "workflow.*"), ("deploy.*",))
    assert ours.credential("eve@example.org").access.scopes == {"read"}


def keyring(folder: Path, **settings: Any) -> Keyring:
    clock = FakeClock()
    defaults = {"trusted_user_header": HEADER, "trusted_proxies": (PROXY,), "trusted_users": USERS}
    return Keyring(Settings(state_dir=folder, **{**defaults, **settings}), clock)


def test_a_header_without_peers_and_peers_without_a_header_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"TRUSTED_USER_HEADER needs SIGHTLINE_TRUSTED_PROXIES"):
        keyring(tmp_path, trusted_proxies=())
    for settings in ({}, {"trusted_users": ("*=read",)}, {"trusted_proxies": ()}):
        with pytest.raises(SettingsError, match="need SIGHTLINE_TRUSTED_USER_HEADER"):
            keyring(tmp_path, trusted_user_header=None, **settings)
    assert Keyring(Settings(state_dir=tmp_path), FakeClock()).users is None


def test_without_the_setting_the_header_is_nothing(tmp_path: Path) -> None:
    ours = Keyring(Settings(state_dir=tmp_path), FakeClock())
    with pytest.raises(UnauthorizedError, match="no session token"):
        authenticate(named(b"alice"), b"", ours, changes=False, peer=PROXY)


SITES = {"none sent": None, "own": b"same-origin", "typed": b"none", "foreign": b"cross-site"}
ORIGINS = {"none sent": None, "own": OWN[1], "allowed": b"https://other.example", "plain": b"http://" + HOST,
           "port": b"https://gateway.example:81", "foreign": b"https://evil.example"}  # fmt: skip


def test_a_named_user_counts_for_pages_of_the_gateway_alone(tmp_path: Path) -> None:
    """The proxy names the user in what a foreign page sends too, so a page must be the gateway's."""
    allowed = ("https://gateway.example", "https://other.example")
    ours = keyring(tmp_path, allowed_origins=allowed)
    let_in = set()
    for site, origin, changes in itertools.product(SITES, ORIGINS, (False, True)):
        headers: Headers = [
            *named(b"alice"),
            *([(b"sec-fetch-site", SITES[site])] if SITES[site] else []),
            *([(b"origin", ORIGINS[origin])] if ORIGINS[origin] else []),
        ]
        try:
            check_browser_rules(headers, ("gateway.example",), allowed)
            assert authenticate(headers, b"", ours, changes=changes, peer=PROXY).kind == "user"
        except (ForbiddenError, UnauthorizedError):
            continue
        let_in.add((site, origin, changes))
    own_sites = ("none sent", "own", "typed")
    assert let_in == {
        *((site, "own", changes) for site in own_sites for changes in (False, True)),
        *((site, "none sent", False) for site in own_sites),
    }


def test_without_an_allowed_origin_of_its_host_either_scheme_is_its_own(tmp_path: Path) -> None:
    ours = keyring(tmp_path)
    for origin, fits in ((b"http://gateway.example", True), (b"http://gateway.example.org", False)):
        headers = [*named(b"alice"), (b"origin", origin)]
        if fits:
            assert authenticate(headers, b"", ours, changes=True, peer=PROXY).kind == "user"
        else:
            with pytest.raises(UnauthorizedError, match="page of another origin"):
                authenticate(headers, b"", ours, changes=True, peer=PROXY)


def test_a_token_decides_before_the_user_and_the_user_before_a_cookie(tmp_path: Path) -> None:
    ours = keyring(tmp_path)
    log_in = ours.browser_sessions.begin()
    cookie = [
        (b"cookie", f"sightline_default={log_in.cookie}".encode()),
        (b"x-browser-key", log_in.key.encode()),
        OWN,
    ]
    token = (b"x-session-token", ours.session_token.reveal().encode())

    def found(*headers: tuple[bytes, bytes], peer: str = PROXY) -> Credential:
        return authenticate([(b"host", HOST), *headers], b"", ours, changes=True, peer=peer)

    user = (b"x-forwarded-user", b"bob")
    assert found(token, user, *cookie).kind == "token"
    assert found(user, *cookie).access.name == "user:bob"
    assert found(*cookie).kind == "cookie"
    with pytest.raises(UnauthorizedError, match="the token is wrong"):
        found((b"x-session-token", b"wrong"), user)
    for headers in ((token, user), (user, *cookie)):  # a forged header is never only passed over
        with pytest.raises(UnauthorizedError, match="counts only from a proxy"):
            found(*headers, peer="10.0.0.9")


def test_the_credential_of_a_user_ends_after_its_time(tmp_path: Path) -> None:
    clock = FakeClock()
    ours = TrustedUsers(HEADER, (PROXY,), USERS, clock)
    credential = ours.credential("alice")
    clock.advance(LIFETIME_S - 1)
    assert not credential.ended
    assert credential.left_s == 1
    clock.advance(1)
    assert credential.ended


def test_no_address_is_taken_for_a_unix_socket() -> None:
    """Some servers put into the scope whatever `X-Forwarded-For` says."""
    tcp: Any = {"client": (UNIX, 0), "server": ("127.0.0.1", 3000)}
    assert came_from(tcp) is None
    unix: Any = {"client": None, "server": ("/run/sightline.sock", None)}
    assert came_from(unix) == UNIX
