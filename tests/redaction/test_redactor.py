"""Redaction: no secret stays in the bytes, and everything else decodes as it was."""

import gc
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from app.redaction import KINDS, Redactor, choice_of
from tests.kit.examples import up_to
from tests.recordings import FOLDER
from tests.redaction.secrets import COUNT, Form, forms

REDACTOR = Redactor()
SEPARATORS = ["", " ", "\n", "\t", '"', "'", "(", "\\n", "\\", "é", "\x01", ", ", "🙂", "=", "\\\\"]
ENDS = ["", " ", "\n", '"', "'", ")", "\\n", "\\", "é", "\x01", ", "]


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def redact(value: object, redactor: Redactor = REDACTOR) -> Any:
    return msgspec.json.decode(redactor.redact(encode(value)))


def pieces_in(secret: str, text: bytes) -> bool:
    """Whether a telling piece of the secret is in the text, in any line of it."""
    return any(
        line[at : at + 12].encode() in text
        for line in secret.splitlines()
        for at in range(0, max(len(line) - 11, 1), 4)
        if not line.startswith("-----")
    )


@pytest.mark.parametrize("index", range(COUNT))
def test_each_form_is_found_alone_in_a_text_and_in_json_within_json(index: int) -> None:
    form = forms(1)[index]
    assert redact({"a": form.text}) == {"a": form.redacted}
    if not form.secret.endswith("\n"):
        nested = json.dumps({"a": form.text, "b": 1})
        found = REDACTOR.redact(encode({"a": nested}))
        assert not pieces_in(form.secret, found)
        assert json.loads(json.loads(found)["a"])["b"] == 1


# Each usual key has one of these letters.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="sSkKzZ"), max_size=8)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


class Planted(msgspec.Struct):
    """A value with a secret, and what must become of it."""

    value: Any
    redacted: Any
    secrets: list[str]


@st.composite
def planted(draw: st.DrawFn) -> Planted:
    form: Form = draw(st.sampled_from(forms(draw(st.integers(0, 50)))))
    before, after = draw(st.sampled_from(SEPARATORS)), draw(st.sampled_from(ENDS))
    if form.kind in ("private_key", "authorization", "env") or form.after:
        after = ""  # some of these end where the text ends
    value, redacted = before + form.text + after, before + form.redacted + after
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            rest = draw(st.lists(ANYTHING, max_size=2))
            value, redacted = [*rest, value], [*rest, redacted]
        else:
            others = draw(st.dictionaries(TEXT, ANYTHING, max_size=2))
            value, redacted = {**others, "at": value}, {**others, "at": redacted}
    return Planted(value, redacted, [form.secret])


@settings(max_examples=up_to(60), deadline=None)
@given(st.lists(planted(), max_size=4), ANYTHING)
def test_no_secret_stays_and_everything_else_decodes_equal(
    found: list[Planted], other: object
) -> None:
    data = {"other": other, "planted": [one.value for one in found]}
    body = REDACTOR.redact(encode(data))
    assert json.loads(body) == json.loads(
        encode({"other": other, "planted": [one.redacted for one in found]})
    )
    for one in found:
        assert not any(pieces_in(secret, body) for secret in one.secrets)
    assert REDACTOR.redact(body) is body or REDACTOR.redact(body) == body


def test_a_secret_in_a_key_is_replaced_and_no_key_is_lost() -> None:
    first, second = forms(1)[0], forms(2)[0]
    data = {first.secret: 1, second.secret: {"x": first.secret}}
    assert redact(data) == {
        "[redacted:token-1]": 1,
        "[redacted:token-2]": {"x": "[redacted:token]"},
    }


@pytest.mark.parametrize(
    "key",
    [
        *("password", "Password", "dbPassword", "db_password", "DB_PASSWORD", "passphrase"),
        *("secret", "clientSecret", "client-secret", "api_key", "apiKey", "X-Api-Key", "apikey"),
        *("access_token", "refreshToken", "session-token", "secret_access_key", "private_key"),
        *("authorization", "Authorization", "Set-Cookie", "cookie"),
    ],
)
def test_the_value_of_a_usual_key_is_replaced_whatever_it_looks_like(key: str) -> None:
    for value in ("hunter2", 'a "quoted" one\n', "x\\", "correct horse"):
        assert redact({"a": [{key: value, "b": 1}]}) == {"a": [{key: "[redacted:key]", "b": 1}]}
    for value in ("", "$PASSWORD", None, True, 12, [], {"c": "d"}):
        assert redact({key: value}) == {key: value}


def test_a_chosen_key_loses_all_that_is_below_it_and_types_stay() -> None:
    redactor = Redactor(choice_of(("key:password_hint", "key:pin")))
    inner = {"a": ["x", 'y"]}', 1.5, -2, True, None, "$VAR", "", {"b": "z"}], "{": "}"}
    mark = "[redacted:key]"
    assert redact({"passwordHint": inner, "b": "x", "pin": 1234}, redactor) == {
        "passwordHint": {"a": [mark, mark, 0, 0, True, None, mark, "", {"b": mark}], "{": mark},
        "b": "x",
        "pin": 0,
    }
    others = {"hint": "x", "password": "hunter2", "bowling pin": "x", "a pin_": 1, "pins": "y"}
    assert redact(others, redactor) == others


@pytest.mark.parametrize(
    "text",
    [
        *(
            "API_KEY=$API_KEY",
            "TOKEN=${TOKEN:-x}",
            'password="<password>"',
            "API_KEY=your-key-here1",
        ),
        *("Authorization: Bearer $TOKEN", "Authorization: Bearer <token>", "bearer authentication"),
        *("https://user:$PASS@host/", "https://{user}:{password}@host", "http://localhost:3000/@x"),
        *("password: str", "token = get_token1()", "secret=self.config.secret1", "token: 12"),
        *("eyJ", "sk-circle-fade-dot-animation-delay-12", "AKIAIOSFODNN7EXAMPLE", "task-1", "ghp_"),
        *("PASS=12 FAIL=0", "MAX_TOKENS=4096", "input_tokens: 5", "PWD=/home/ada", "TOKEN=..."),
        "grep -r '-----BEGIN RSA PRIVATE KEY-----' /home/ada/project/src/deeply/nested/folder",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\n" + "Q7k" * 40 + "\n-----END CERTIFICATE-----",
        "9f1c2ab0" * 5,
        "3d5b0610-df1a-42f7-b7ba-6f7421a57ee1",
        "data:image/png;base64," + "iVBORw0KGgo/AKIA+eyJhbGc" * 40,
        "[redacted:token] PASSWORD=[redacted:env] https://u:[redacted:url]@h",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    body = encode({"text": text, "nested": json.dumps({"a": text})})
    assert REDACTOR.redact(body) is body


def test_what_agents_sent_has_no_secret_and_stays() -> None:
    for file in FOLDER.glob("*.jsonl"):
        for line in file.read_bytes().splitlines():
            body = encode(msgspec.json.decode(line))
            assert REDACTOR.redact(body) is body, file.name


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_redacted_alone(kind: str) -> None:
    redactor = Redactor(choice_of((kind,)))
    data = [form.text for form in forms(3)] + [{"password": "hunter2"}]
    marks = set(redactor.redact(encode(data)).decode().split("[redacted:")[1:])
    assert {mark.split("]")[0] for mark in marks} == {kind}
    body = encode(data)
    assert Redactor(choice_of(())).redact(body) is body


NEAR = [
    *(
        "eyJ",
        "eyJaaaaaaaaa",
        "eyJaaaaaaaaa.",
        "eyJaaaaaaaaa.eyJ",
        "://a:",
        "://",
        "://a:b@",
        "ghp_",
    ),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN ", "secret="),
    *("password=", "password: ", "Authorization: Bearer ", "authorization:", "bearer ", "-us1"),
    *("sk-", "sk-A", "SG.", "SG.aaaaaaaaaaaaaaaaaaaa.", "A_SECRET=", "x-y.z_secret", "\\secret"),
    *("AccountKey=aaaa", "hooks.slack.com/a/", "1:AA", "xoxb-1-", "API_KEY='a ", "tskey-a-"),
]


@pytest.mark.slow
@pytest.mark.parametrize("near", NEAR)
def test_the_time_is_linear_in_a_text_full_of_what_is_nearly_a_secret(near: str) -> None:
    def processor_time(size: int) -> float:
        gc.freeze()  # a collection would look at all that the tests have made
        body = encode({"a": near * (size // len(near))})
        spent = []
        for _ in range(3):
            began = time.process_time()
            REDACTOR.redact(body)
            spent.append(time.process_time() - began)
        gc.unfreeze()
        return min(spent)

    # 32 times the size: 1,024 times the time if it were quadratic, and on a busy machine up to 100 if not.
    assert processor_time(128_000) < 320 * max(processor_time(4_000), 0.0001)
