"""`JWTTokens`: bearer tokens that an issuer has signed, with the extra `jwt`."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import jwt
from jwt.exceptions import PyJWTError

from ..errors import BadRequestError, SettingsError, UnauthorizedError
from ..events import Clock
from ..settings import Settings
from .access import EVERYTHING, JWT, SCOPES, Access, Scope
from .credentials import Credential
from .key_set import ALGORITHMS, KeySet
from .trusted_users import MOST_PATTERNS, NAME

SKEW_S = 30.0  # of the issuer's clock, for `nbf` alone: a token never lasts longer than it says
SCOPE_PREFIX = "sightline:"  # before the scopes, so that no word of another program opens anything
READ_CLAIM, PUBLISH_CLAIM = "sightline_read", "sightline_publish"
_MOST_BYTES = 8 * 1024
_FORM = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_UNREADABLE = (PyJWTError, ValueError, TypeError, KeyError, RecursionError)


class JWTTokens:
    """Checks tokens of one issuer. Each decision is made anew, so nothing outlives a key or a token."""

    def __init__(self, settings: Settings, clock: Clock, keys: KeySet) -> None:
        self._keys = keys
        self.watch = keys.watch
        self._clock = clock
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._scopes_claim = settings.jwt_scopes_claim

    def credential(self, candidate: bytes) -> Credential | None:
        """The credential of a token, which ends when the token expires; None if it is no JWT.

        Raises:
            UnauthorizedError: the token is not valid; the message says why, and shows nothing of it.
            UnavailableError: the keys cannot be had now.
        """
        if not _FORM.fullmatch(candidate) or len(candidate) > _MOST_BYTES:
            return None
        claims = self._claims(candidate.decode("ascii"))
        expires_at = _time(claims, "exp")
        if expires_at <= self._clock.wall():
            raise _refusal("it has expired")
        if "nbf" in claims and _time(claims, "nbf") > self._clock.wall() + SKEW_S:
            raise _refusal("it is not valid yet")
        return Credential("jwt", "", self._access(claims), lambda: expires_at - self._clock.wall())

    def _claims(self, token: str) -> Mapping[str, object]:
        """The claims, once the signature, `iss` and `aud` are right."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
        except _UNREADABLE:
            raise _refusal("its header cannot be read") from None
        if not isinstance(algorithm, str) or not isinstance(kid, str | None) or "crit" in header:
            raise _refusal("its header has a field that is not known here")
        if algorithm not in ALGORITHMS:  # `none` and HS256 are not; the issuer need not be asked
            raise _refusal(f"no key verifies the algorithm {algorithm[:20]!r} here")
        key = self._keys.find(kid, algorithm)
        if key is None:
            raise _refusal(
                f"the issuer has no key {str(kid)[:80]!r} for the algorithm {algorithm[:20]!r}"
            )
        try:
            claims: Mapping[str, object] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    # By the gateway's own clock, in `credential`.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except _UNREADABLE as error:
            why = str(error) if isinstance(error, PyJWTError) else "it cannot be read"
            raise _refusal(why[:100]) from None
        return claims

    def _access(self, claims: Mapping[str, object]) -> Access:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not NAME.fullmatch(subject):
            raise _refusal("its `sub` is not 1 to 128 of A-Z a-z 0-9 . _ @ + | : = / ~ -")
        words = _words(claims, self._scopes_claim, ())
        scopes: list[Scope] = [one for one in SCOPES if SCOPE_PREFIX + one in words]
        read = _words(claims, READ_CLAIM, EVERYTHING)
        publish = _words(claims, PUBLISH_CLAIM, EVERYTHING)
        if "admin" in scopes and (read, publish) != (EVERYTHING, EVERYTHING):
            raise _refusal("an admin cannot be held to patterns: leave them out, or the scope")
        if max(len(read), len(publish)) > MOST_PATTERNS:
            raise _refusal(f"it has over {MOST_PATTERNS} patterns for one scope")
        try:
            return Access(JWT + subject, scopes, read, publish)
        except BadRequestError as error:
            raise _refusal(str(error)) from None


def jwt_of(settings: Settings, clock: Clock) -> JWTTokens:
    """What checks the tokens of the settings' issuer. A file of keys is read now.

    Raises:
        SettingsError: the issuer or the audience is missing, or the file of keys cannot be used.
    """
    source = settings.jwt_jwks or ""
    keys = KeySet(source, clock)
    if "://" not in source:
        try:
            keys.read(Path(source).expanduser())
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise SettingsError(
                f"SIGHTLINE_JWT_JWKS: {source[:80]!r} cannot be used: {why}; give the path of a JWKS,"
                " or its https:// address"
            ) from None
    return JWTTokens(settings, clock, keys)


def _time(claims: Mapping[str, object], name: str) -> float:
    found = claims.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise _refusal(f"its `{name}` is no number")
    try:
        seconds = float(found)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise _refusal(f"its `{name}` is no number")
    return seconds


def _words(claims: Mapping[str, object], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a claim, a text with spaces or an array; what is malformed never widens anything."""
    if name not in claims:
        return default
    found = claims[name]
    words = found.split() if isinstance(found, str) else found
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _refusal(f"its claim `{name[:40]}` is neither a text nor an array of texts")
    return tuple(words)


def _refusal(why: str) -> UnauthorizedError:
    return UnauthorizedError(f"the JWT does not count: {why}; get a new one from its issuer")
