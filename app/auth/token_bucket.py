"""The named tokens in a bucket on NATS, which all gateways read and the command line writes.

The bucket holds the text of a token file. So there is one order of all changes, and a gateway that has
read the newest value knows every token.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from ..errors import SettingsError, UnavailableError
from ..settings import PREFIX, Settings
from .named import Change, NamedToken, NamedTokens, decode_file, encode_file
from .token_store import Found, TokenStore

LOOK_EVERY_S = 0.5  # so that a revoked token has ended everywhere within a second
MOST_BYTES = 512 * 1024
_TRIES = 20
# The command's own: with the permissions of deploy/nats.conf, it must not see answers to gateways.
INBOX_PREFIX = "_INBOX_tokens"
_T = TypeVar("_T")


class Stored(Protocol):
    """A value, its revision, and when it was stored; no bytes once it was deleted."""

    @property
    def revision(self) -> int: ...

    @property
    def stored_at(self) -> float: ...

    @property
    def body(self) -> bytes: ...


class Value(Protocol):
    """A value that several programs read and write, as `BucketValue` has it on NATS."""

    @property
    def where(self) -> str: ...

    @property
    def newest(self) -> Stored | None: ...

    async def start(self) -> None: ...

    async def read(self) -> Stored | None: ...

    async def write(self, body: bytes, after: int) -> bool: ...

    async def close(self) -> None: ...


def shared_tokens(settings: Settings, inbox_prefix: str | None = None) -> Value | None:
    """The value with the tokens if the settings say that gateways share them, else None.

    Raises:
        SettingsError: no NATS is given, or its client is not installed.
    """
    if settings.tokens != "nats":
        return None
    try:
        from ..channels.nats.bucket import BucketValue
        from ..channels.nats.connection import INBOX
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{PREFIX}TOKENS=nats needs {error.name}: pip install 'sightline-gateway[nats]'"
        ) from error
    return BucketValue(settings, "tokens", "tokens", inbox_prefix or INBOX)


@asynccontextmanager
async def started(value: Value | None) -> AsyncIterator[None]:
    """Read the value once; close its connection when the block ends.

    Raises:
        SettingsError: it cannot be read.
    """
    if value is None:
        yield
        return
    try:
        await value.start()
        yield
    finally:
        await value.close()


async def closed_after(value: Value, work: Coroutine[None, None, _T]) -> _T:
    """The result of `work`, which uses the value; then its connection is closed."""
    try:
        return await work
    finally:
        await value.close()


def _tokens_in(value: Value, stored: Stored | None) -> list[NamedToken]:
    """The tokens in a value; raises `ValueError` if it is malformed."""
    if stored is None or not stored.body:
        return []
    try:
        if len(stored.body) > MOST_BYTES:
            raise ValueError(f"it has {len(stored.body)} bytes, and {MOST_BYTES} are the most")
        return decode_file(stored.body.decode())
    except ValueError as error:
        raise ValueError(
            f"{value.where} is malformed: {error}: correct it, or delete it, which ends all tokens"
        ) from None


async def load_shared(value: Value) -> list[NamedToken]:
    """The tokens in the bucket.

    Raises:
        UnavailableError: NATS does not answer this user.
        ValueError: the value is malformed.
    """
    return _tokens_in(value, await _read(value))


async def change_shared(
    value: Value, change: Callable[[Sequence[NamedToken]], tuple[list[NamedToken], str]]
) -> str:
    """Write what `change` makes of the tokens, and return its other result.

    `change` is called again if another command has written in between, so no change is lost.

    Raises:
        BadRequestError: `change` refuses, or the tokens are too large together.
        UnavailableError: NATS does not answer this user; or other commands write all the time.
        ValueError: the value is malformed.
    """
    for _ in range(_TRIES):
        stored = await _read(value)
        changed, result = change(_tokens_in(value, stored))
        body = encode_file(changed).encode()
        if len(body) > MOST_BYTES:
            raise ValueError(
                f"the tokens have {len(body)} bytes together: give them fewer patterns"
            )
        try:
            if await value.write(body, 0 if stored is None else stored.revision):
                return result
        except UnavailableError as error:
            raise UnavailableError(
                f"NATS did not confirm the change ({error}): `sightline token list` says whether it"
                f" is stored. {_ALLOWED}"
            ) from None
    raise UnavailableError("other commands change the tokens all the time: run this again")


_ALLOWED = (
    f"The user in {PREFIX}NATS_URL must be allowed to read and write the bucket and to listen under"
    f" {INBOX_PREFIX}, as the user `tokens` of deploy/nats.conf is"
)


async def _read(value: Value) -> Stored | None:
    try:
        return await value.read()
    except UnavailableError as error:
        raise UnavailableError(f"NATS does not answer ({error}). {_ALLOWED}") from None


class TokenBucket(TokenStore):
    """The tokens that all gateways share. While NATS is away, the last known ones go on."""

    look_every_s = LOOK_EVERY_S

    def __init__(
        self,
        value: Value,
        tokens: NamedTokens,
        on_change: Callable[[list[Change]], None] = lambda changes: None,
    ) -> None:
        """`on_change` is called after tokens have been replaced or have expired."""
        self._value = value
        self._newest: Stored | None = None
        super().__init__(value.where, tokens, on_change)

    def read(self) -> None:
        """Take what the value's start has read."""
        self._take(self._found(self._value.newest))

    async def _look(self) -> Found | None:
        try:
            return self._found(await self._value.read())
        except UnavailableError as error:
            self._unreadable(str(error))
            return None

    def _found(self, stored: Stored | None) -> Found | None:
        stamp = None if stored is None else (stored.revision, stored.stored_at)
        if stamp == self._stamp:
            return None
        if stored is not None:
            newest = self._newest
            if newest is not None and (
                stored.revision < newest.revision and stored.stored_at < newest.stored_at
            ):
                # A server that was cut off from the others may answer so: a revoked token must not
                # come back. A bucket that was made again has lower revisions, and later times.
                self._unreadable("NATS answers with an older value than before")
                return None
            self._newest = stored
        # Always configured: all gateways must sign alike, also before the first token.
        try:
            return Found(stamp, _tokens_in(self._value, stored))
        except ValueError as error:
            return Found(stamp, [], str(error))
