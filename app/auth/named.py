"""Named tokens: their records, which hold no secret, and what they admit. Pure but for the clock.

A secret has 256 random bits, so its plain SHA-256 cannot be searched for: a slow or salted hash, which
passwords need, would only cost time on every request.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import msgspec

from ..channels.filters import EventFilter
from ..errors import BadRequestError
from ..events import Clock
from .access import EVERYTHING, RESERVED, Access, Scope
from .credentials import Credential

MOST_TOKENS = 100
MOST_PATTERNS = 32  # of one scope
PREFIX = "slt_"  # so that people and scanners see what a leaked secret is
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{16}")  # so no id is taken for the session token


class NamedToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token as it is kept. Times are Unix seconds; `hash` is the SHA-256 of the secret."""

    id: str  # another one for each secret
    name: str
    hash: str
    scopes: tuple[Scope, ...]
    read: tuple[str, ...] = EVERYTHING
    publish: tuple[str, ...] = EVERYTHING
    created_at: float
    expires_at: float | None = None

    @property
    def access(self) -> Access:
        """What the token may do."""
        return Access(self.name, self.scopes, self.read, self.publish)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tokens: list[NamedToken]
    version: int = 1


def hash_of(secret: bytes) -> str:
    """The fingerprint under which a secret is kept."""
    return hashlib.sha256(secret).hexdigest()


def encode_file(tokens: Sequence[NamedToken]) -> str:
    """The text of the token file."""
    return msgspec.json.format(msgspec.json.encode(_File(list(tokens)))).decode()


def decode_file(text: str) -> list[NamedToken]:
    """The tokens in the text of a token file.

    Raises:
        ValueError: the text or one of its tokens is malformed; then no token counts.
    """
    try:
        found = msgspec.json.decode(text, type=_File)
        for token in found.tokens:
            check(token)
    except (msgspec.MsgspecError, BadRequestError, UnicodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if found.version != 1:
        raise ValueError(f"version {found.version} is of another release")
    for kind in ("id", "name", "hash"):
        if len({getattr(token, kind) for token in found.tokens}) < len(found.tokens):
            raise ValueError(f"two tokens have the same {kind}")
    return found.tokens


def check(token: NamedToken) -> None:
    """Raise `BadRequestError` unless the token is well formed."""
    if not _NAME.fullmatch(token.name) or token.name.lower() in RESERVED:
        raise BadRequestError(
            f"token name {token.name[:80]!r}: use 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or"
            f" digit, and none of {', '.join(RESERVED)} in any case"
        )
    if not token.scopes:
        raise BadRequestError(f"token {token.name!r} has no scope: give read, publish or admin")
    if not _ID.fullmatch(token.id):
        raise BadRequestError(f"token {token.name!r} has no 16 hexadecimal digits as its id")
    if not _HASH.fullmatch(token.hash):
        raise BadRequestError(f"token {token.name!r} has no SHA-256 as its hash")
    for scope, patterns in (("read", token.read), ("publish", token.publish)):
        EventFilter(patterns)
        if not 1 <= len(patterns) <= MOST_PATTERNS:
            raise BadRequestError(
                f"token {token.name!r} has {len(patterns)} patterns for {scope}:"
                f" give 1 to {MOST_PATTERNS}, or wildcards such as 'workflow.*'"
            )
        if patterns != EVERYTHING and (scope not in token.scopes or "admin" in token.scopes):
            raise BadRequestError(
                f"token {token.name!r} has patterns for {scope}, which its scopes do not hold it to:"
                f" give it the scope {scope}, and not admin, which may do everything"
            )


def create(tokens: Sequence[NamedToken], new: NamedToken) -> tuple[list[NamedToken], str]:
    """Add a token; return all, and the secret of the new one, which nothing keeps.

    Raises:
        BadRequestError: it is malformed, its name is in use, or there are `MOST_TOKENS`.
    """
    if any(token.name == new.name for token in tokens):
        raise BadRequestError(
            f"there is a token {new.name!r}: revoke or rotate it, or choose a name"
        )
    if len(tokens) >= MOST_TOKENS:
        raise BadRequestError(f"there are {MOST_TOKENS} tokens: revoke some first")
    made, secret = _with_secret(new)
    return [*tokens, made], secret


def revoke(tokens: Sequence[NamedToken], name: str) -> list[NamedToken]:
    """Leave a token out; raises `BadRequestError` if there is none of the name."""
    _named(tokens, name)
    return [token for token in tokens if token.name != name]


def rotate(
    tokens: Sequence[NamedToken], name: str, now: float, lifetime_s: float | None
) -> tuple[list[NamedToken], str]:
    """Give a token another secret; it lasts `lifetime_s`, by default as long as the old one did.

    Raises:
        BadRequestError: there is none of the name.
    """
    old = _named(tokens, name)
    if lifetime_s is None and old.expires_at is not None:
        lifetime_s = old.expires_at - old.created_at
    expires_at = None if lifetime_s is None else now + lifetime_s
    changed = msgspec.structs.replace(old, created_at=now, expires_at=expires_at)
    made, secret = _with_secret(changed)
    return [made if token is old else token for token in tokens], secret


def _named(tokens: Sequence[NamedToken], name: str) -> NamedToken:
    for token in tokens:
        if token.name == name:
            return token
    raise BadRequestError(f"there is no token {name[:80]!r}: `sightline token list` names them")


def _with_secret(token: NamedToken) -> tuple[NamedToken, str]:
    secret = PREFIX + secrets.token_urlsafe(32)
    made = msgspec.structs.replace(token, id=secrets.token_hex(8), hash=hash_of(secret.encode()))
    check(made)
    return made, secret


class Change(NamedTuple):
    """What happened to a token, in the word of the audit."""

    action: str
    token: NamedToken


def changes_of(old: Iterable[NamedToken], new: Iterable[NamedToken]) -> list[Change]:
    """What was made, revoked, rotated or changed between two lists of tokens."""
    before, after = ({token.name: token for token in tokens} for tokens in (old, new))
    changes = [Change("token_revoked", one) for name, one in before.items() if name not in after]
    for name, token in after.items():
        known = before.get(name)
        if known is None:
            changes.append(Change("token_made", token))
        elif known.hash != token.hash:
            changes.append(Change("token_rotated", token))
        elif known != token:
            changes.append(Change("token_changed", token))
    return changes


class NamedTokens:
    """The tokens that count now. A token whose record changes in any way ends, as a revoked one."""

    def __init__(self, clock: Clock, on_end: Callable[[NamedToken, Credential], None]) -> None:
        """`on_end` closes what a token opened."""
        self._clock = clock
        self._on_end = on_end
        self._tokens: dict[str, NamedToken] = {}  # by hash
        self._credentials: dict[str, Credential] = {}  # by id
        # Whether there is a place for named tokens, even without a token; also if it is not known yet.
        self.configured = False

    def replace(self, tokens: Iterable[NamedToken], *, configured: bool) -> list[Change]:
        """Use these tokens from now on, end all others, and return what changed."""
        new = {token.hash: token for token in tokens if self._left_s(token) > 0}
        self.configured = configured
        changes = changes_of(self._tokens.values(), new.values())
        self._end([token for token in self._tokens.values() if new.get(token.hash) != token])
        for token in new.values():
            if token.hash not in self._tokens:
                self._tokens[token.hash] = token
                self._credentials[token.id] = Credential("token", token.id, token.access)
        return changes

    def find(self, secret: bytes) -> Credential | None:
        """The credential of a secret (any bytes); None if it is unknown, revoked or expired."""
        token = self._tokens.get(hash_of(secret))
        if token is None or self._left_s(token) <= 0:
            return None
        return self._credentials[token.id]

    def credential(self, id_: str) -> Credential | None:
        """The credential of a token's id; None if it has ended."""
        for token in self._tokens.values():
            if token.id == id_ and self._left_s(token) > 0:
                return self._credentials[id_]
        return None

    def expire(self) -> list[Change]:
        """End all expired tokens, and return them."""
        expired = [token for token in self._tokens.values() if self._left_s(token) <= 0]
        self._end(expired)
        return [Change("token_expired", token) for token in expired]

    def next_end_s(self) -> float | None:
        """Seconds until the next token expires; None if none does."""
        left = [self._left_s(token) for token in self._tokens.values() if token.expires_at]
        return max(0.0, min(left)) if left else None

    def _left_s(self, token: NamedToken) -> float:
        # By the wall clock: an expiry outlives restarts and reboots.
        return float("inf") if token.expires_at is None else token.expires_at - self._clock.wall()

    def _end(self, tokens: list[NamedToken]) -> None:
        """End all of them first, and then what they opened: if that fails for one, none stays."""
        with ExitStack() as closing:
            for token in tokens:
                del self._tokens[token.hash]
                credential = self._credentials.pop(token.id)
                credential.ended = True
                closing.callback(self._on_end, token, credential)
