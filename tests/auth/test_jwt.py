"""JWT bearer tokens: which ones count, and that no form of confusion lets another one in."""

import base64
import hashlib
import hmac
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, strategies as st

from app.auth import key_set
from app.auth.jwt_tokens import SKEW_S, JWTTokens, jwt_of
from app.auth.key_set import EVERY_S, MOST_AGE_S, KeySet, keys_of
from app.auth.tokens import Keyring
from app.errors import SettingsError, UnauthorizedError, UnavailableError
from app.settings import Settings
from tests.kit.issuer import (
    AUDIENCE,
    FOR_S,
    SETTINGS,
    claims,
    ec_key,
    ed_key,
    jwk_of,
    jwks,
    rsa_key,
    signed,
)
from tests.support import FakeClock

SCOPES = "openid sightline:read sightline:publish admin read"


def tokens(folder: Path, clock: FakeClock, *keys: dict[str, Any], **settings: Any) -> JWTTokens:
    path = folder / "jwks.json"
    path.write_bytes(jwks(*(keys or (jwk_of(rsa_key(), "one"),))))
    return jwt_of(Settings(jwt_jwks=str(path), **{**SETTINGS, **settings}), clock)


def test_a_token_has_the_scopes_and_patterns_that_its_claims_say(tmp_path: Path) -> None:
    clock = FakeClock()
    ours = tokens(tmp_path, clock)

    def access(**more: Any) -> Any:
        found = ours.credential(signed(claims(clock.wall(), **more)).encode())
        assert found is not None
        assert found.kind == "jwt"
        return found.access

    assert access().name == "jwt:alice"
    assert (access().scopes, access().read, access().publish) == (set(), (), ())
    both = access(scope=SCOPES)  # a word of another program opens nothing
    assert (both.scopes, both.read, both.publish) == ({"read", "publish"}, ("*",), ("*",))
    assert access(scope=["sightline:admin"]).is_admin
    held = access(scope=SCOPES, sightline_read=["git.*", "chat.*"], sightline_publish="deploy.*")
    assert (held.read, held.publish) == (("git.*", "chat.*"), ("deploy.*",))
    assert access(scope=SCOPES, sightline_read=[]).read == ()
    assert access(aud=["other", AUDIENCE], sub="repo:org/name:ref:refs/heads/main").name == (
        "jwt:repo:org/name:ref:refs/heads/main"
    )
    named = tokens(tmp_path, clock, jwt_scopes_claim="roles", jwt_audience=("a", AUDIENCE))
    found = named.credential(signed(claims(clock.wall(), roles=["sightline:read"])).encode())
    assert found is not None
    assert found.access.scopes == {"read"}


@pytest.mark.parametrize(
    "more",
    [
        {"iss": "https://evil.example/"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"exp": None},
        {"exp": True},
        {"exp": "never"},
        {"exp": 1e400},
        {"exp": 10**400},
        {"exp": 1_700_001_000},  # now
        {"nbf": 1_700_001_000 + SKEW_S + 1},
        {"nbf": "soon"},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "al ice"},
        {"sub": "a" * 129},
        {"scope": 7},
        {"scope": ["sightline:read", 7]},
        {"sightline_read": {"git.*": True}},
        {"sightline_read": None, "sightline_publish": 1},
        {"scope": SCOPES, "sightline_read": ["Git.*"]},
        {"sightline_read": [f"a.x{i}" for i in range(33)]},
        {"scope": "sightline:admin", "sightline_read": ["git.*"]},
    ],
    ids=str,
)
def test_a_claim_that_does_not_fit_is_refused(tmp_path: Path, more: dict[str, Any]) -> None:
    clock = FakeClock()
    said = claims(clock.wall(), **more)
    token = signed({name: value for name, value in said.items() if value is not None}).encode()
    with pytest.raises(UnauthorizedError, match="the JWT does not count") as refused:
        tokens(tmp_path, clock).credential(token)
    assert token.decode() not in str(refused.value)


def test_it_ends_when_it_says_and_a_clock_that_is_a_little_ahead_begins_it(tmp_path: Path) -> None:
    clock = FakeClock()
    ours = tokens(tmp_path, clock)
    token = signed(claims(clock.wall(), nbf=clock.wall() + SKEW_S)).encode()
    credential = ours.credential(token)
    assert credential is not None
    assert credential.left_s == FOR_S
    clock.advance(FOR_S)
    assert credential.ended
    with pytest.raises(UnauthorizedError, match="it has expired"):
        ours.credential(token)


def part(value: Any) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def test_no_token_without_an_asymmetric_signature_of_the_issuer_counts(tmp_path: Path) -> None:
    clock = FakeClock()
    key = rsa_key()
    ours = tokens(tmp_path, clock, jwk_of(key, "one"), jwk_of(ec_key(), "two"))
    said = claims(clock.wall(), scope=SCOPES)
    good = signed(said).encode()
    assert ours.credential(good) is not None
    head, body, signature = good.split(b".")
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    forged = [b".".join((part({"alg": "none", "kid": "one"}), body, b""))]
    forged += [b".".join((part({"alg": "None", "kid": "one"}), body, signature))]
    forged += [
        b".".join((head, body, b"")),
        b".".join((head, part({**said, "sub": "bob"}), signature)),
    ]
    for secret in (pem, pem.strip(), der, b"", jwks(jwk_of(key, "one"))):
        for name, hashed in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384)):
            text = part({"alg": name, "kid": "one", "typ": "JWT"}) + b"." + body
            made = base64.urlsafe_b64encode(hmac.digest(secret, text, hashed)).rstrip(b"=")
            forged.append(text + b"." + made)
    strange = rsa_key(which=1)
    more = {"jwk": jwk_of(strange, "one"), "jku": "https://evil.example/jwks", "x5c": ["AAAA"]}
    forged.append(signed(said, strange, kid="one").encode())
    forged.append(signed(said, strange, kid="one", **more).encode())
    forged.append(signed(said, strange, kid=None).encode())
    forged.append(signed(said, ec_key(), "ES256", kid="one").encode())  # the id of another kind
    forged.append(signed(said, kid="two").encode())
    forged.append(signed(said, crit=["exp"]).encode())
    for header in (
        [], 7, None, {}, {"alg": ["RS256"]}, {"alg": "RS256", "kid": ["one"]}, {"alg": "RS256", "kid": 1},
        {"alg": "RS256", "kid": {"one": 1}}, {"alg": "rs256", "kid": "one"}, {"alg": "RS256", "kid": "one", "crit": []},
    ):  # fmt: skip
        forged.append(b".".join((part(header), body, signature)))
    forged.append(b".".join((b"W1tb" * 1500, body, signature)))
    for token in forged:
        with pytest.raises(UnauthorizedError, match="the JWT does not count"):
            ours.credential(token)
    with pytest.raises(UnavailableError):  # this key may be a new one
        ours.credential(signed(said, strange, kid="three").encode())
    # One that it took before is no key for others.
    assert ours.credential(good) is not None


@given(st.binary(max_size=60) | st.from_regex(rb"[\w.-]{0,60}", fullmatch=True), st.integers(0, 2))
def test_whatever_arrives_is_refused_or_is_no_jwt(noise: bytes, place: int) -> None:
    clock = FakeClock()
    keys = KeySet("unused", clock)
    keys._take(keys_of(jwks(jwk_of(rsa_key(), "one"))))
    ours = JWTTokens(Settings(**SETTINGS), clock, keys)
    good = signed(claims(clock.wall())).encode().split(b".")
    for token in (noise, b".".join([*good[:place], noise, *good[place + 1 :]])):
        with suppress(UnauthorizedError):
            assert ours.credential(token) is None or token == b".".join(good)


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (rsa_key(), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (ec_key(), {"ES256"}),
        (ec_key("secp384r1"), {"ES384"}),
        (ec_key("secp521r1"), {"ES512"}),
        (ed_key(), {"EdDSA"}),
    ],
    ids=["RSA", "P-256", "P-384", "P-521", "Ed25519"],
)
def test_each_kind_of_key_verifies_its_algorithms_alone(
    tmp_path: Path, key: Any, algorithms: set[str]
) -> None:
    clock = FakeClock()
    (found,) = keys_of(jwks(jwk_of(key, "one")))
    assert found.algorithms == algorithms
    ours = tokens(tmp_path, clock, jwk_of(key, "one"))
    for algorithm in algorithms:
        assert ours.credential(signed(claims(clock.wall()), key, algorithm).encode()) is not None
    named = min(algorithms)
    (held,) = keys_of(jwks(jwk_of(key, None, alg=named)))
    assert held.algorithms == {named}
    ours = tokens(tmp_path, clock, jwk_of(key, "one", alg=named))
    for algorithm in algorithms - {named}:
        with pytest.raises(UnauthorizedError, match="has no key"):
            ours.credential(signed(claims(clock.wall()), key, algorithm).encode())


def test_keys_that_verify_nothing_here_are_left_out() -> None:
    good = jwk_of(rsa_key(), "one")
    secret = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "one", "alg": "HS256"}
    useless = [
        secret,
        jwk_of(rsa_key(), "one", use="enc"),
        jwk_of(rsa_key(1024), "one"),
        jwk_of(rsa_key(), "one", alg="HS256"),
        jwk_of(rsa_key(), "one", alg="none"),
        {**good, "n": "!"},
        {"kty": "RSA"},
        {},
    ]
    assert len(keys_of(jwks(*useless, good))) == 1
    for text in (jwks(*useless), b"{}", b"[]", b"", b'{"keys":{}}', b'{"keys":[1]}', b"[" * 10_000):
        with pytest.raises(ValueError, match=r"no JWKS|no key for signatures"):
            keys_of(text)


async def test_a_key_that_is_not_known_is_looked_for_and_refused_once_it_was(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    path = tmp_path / "jwks.json"
    ours = tokens(tmp_path, clock)
    rotated = rsa_key(which=1)
    token = signed(claims(clock.wall()), rotated, kid="two").encode()
    with pytest.raises(UnavailableError, match="are read again within 30 s"):
        ours.credential(token)
    assert ours._keys._wanted.is_set()
    path.write_bytes(jwks(jwk_of(rotated, "two")))
    assert await ours._keys.refresh()
    assert ours.credential(token) is not None
    other = signed(claims(clock.wall()), rotated, kid="three").encode()
    old = signed(claims(clock.wall())).encode()
    for token in (other, old, old):  # whoever has asked for another key before
        with pytest.raises(UnavailableError):
            ours.credential(token)
    assert ours._keys._wanted.is_set()
    assert await ours._keys.refresh()
    with pytest.raises(UnauthorizedError, match="has no key 'one'"):  # it is no longer there
        ours.credential(old)
    with pytest.raises(UnauthorizedError, match="has no key 'three'"):
        ours.credential(other)


async def test_a_stranger_uses_up_no_answer_and_no_attempt_of_others(tmp_path: Path) -> None:
    clock = FakeClock()
    ours = tokens(tmp_path, clock)
    for kid in map(str, range(3 * key_set.MOST_ASKED)):
        with pytest.raises(UnavailableError):
            ours._keys.find(kid, "RS256")
    assert len(ours._keys._asked) <= key_set.MOST_ASKED
    await ours._keys.refresh()
    new = signed(claims(clock.wall()), rsa_key(which=1), kid="two").encode()
    with pytest.raises(UnavailableError):  # and not 401, which means: do not try again
        ours.credential(new)
    (tmp_path / "jwks.json").write_bytes(jwks(jwk_of(rsa_key(which=1), "two")))
    await ours._keys.refresh()
    assert ours.credential(new) is not None
    ours._keys._wanted.clear()
    for algorithm in ("none", "HS256"):
        head = json.dumps({"alg": algorithm, "kid": "new"}).encode()
        forged = base64.urlsafe_b64encode(head).rstrip(b"=") + b".e30."
        with pytest.raises(UnauthorizedError, match="no key verifies the algorithm"):
            ours.credential(forged)
    assert not ours._keys._wanted.is_set()


async def test_keys_that_cannot_be_had_again_count_for_a_day(tmp_path: Path) -> None:
    clock = FakeClock()
    ours = tokens(tmp_path, clock)
    path = tmp_path / "jwks.json"
    for text in (None, b"no JWKS", b"x" * (key_set.MOST_BYTES + 1)):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_bytes(text)
        assert not await ours._keys.refresh()
    assert ours.credential(signed(claims(clock.wall())).encode()) is not None
    clock.advance(MOST_AGE_S + 1)
    with pytest.raises(UnavailableError, match="cannot be had: it is over 262144 bytes"):
        ours.credential(signed(claims(clock.wall())).encode())
    assert EVERY_S < MOST_AGE_S


def test_settings_that_do_not_fit_each_other_stop_the_start(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(jwk_of(rsa_key(), "one")))
    good = {"jwt_jwks": str(path), **SETTINGS}
    for change, message in (
        ({"jwt_issuer": None}, "JWT_JWKS needs SIGHTLINE_JWT_ISSUER"),
        ({"jwt_audience": ()}, "JWT_JWKS needs SIGHTLINE_JWT_AUDIENCE"),
        ({"jwt_jwks": None}, "SIGHTLINE_JWT_ISSUER needs SIGHTLINE_JWT_JWKS"),
        ({"jwt_jwks": str(tmp_path / "none")}, "cannot be used: No such file"),
        ({"jwt_jwks": __file__}, "cannot be used: it is no JWKS"),
    ):
        with pytest.raises(SettingsError, match=message):
            Keyring(Settings(state_dir=tmp_path, **{**good, **change}), FakeClock())


def test_a_session_token_that_looks_like_a_jwt_and_a_named_token_come_first(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(jwk_of(rsa_key(), "one")))
    settings = Settings(state_dir=tmp_path, session_token="a.b.c", jwt_jwks=str(path), **SETTINGS)
    keyring = Keyring(settings, FakeClock())
    assert keyring.credential_of(b"a.b.c", None) is keyring.token_credential
    assert keyring.credential_of(b"no jwt", None) is None
    token = signed(claims(FakeClock().wall(), subject="session")).encode()
    found = keyring.credential_of(token, None)
    assert found is not None
    assert found.access.name == "jwt:session"
