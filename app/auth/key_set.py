"""`KeySet`: the public keys of an issuer of JWT, from a file or a URL (a JWKS)."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

from ..errors import UnavailableError
from ..events import Clock

EVERY_S = 300.0  # a changed file or address counts after this time at the latest
AGAIN_S = 30.0  # between two attempts, whatever tokens ask for
FETCH_S = 10.0  # for one attempt, whatever trickles in
MOST_AGE_S = 24 * 60 * 60.0  # keys that could not be had again for so long do not count
MOST_BYTES = 256 * 1024
MOST_KEYS = 100
MOST_ASKED = 1000  # keys that are not known
MIN_RSA_BITS = 2048
_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ALGORITHMS = _RSA.union(_CURVES.values(), ("EdDSA",))
_log = structlog.get_logger("sightline.tokens")
PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class Key(NamedTuple):
    """One public key, and the algorithms that it may verify. None of them takes a shared secret."""

    id: str | None
    key: PublicKey
    algorithms: frozenset[str]


class _Set(msgspec.Struct):
    keys: list[dict[str, object]]


def keys_of(text: bytes) -> list[Key]:
    """The keys of a JWKS that verify signatures; others are left out, such as shared secrets.

    Raises:
        ValueError: the text is no JWKS, or it has no such key.
    """
    try:
        found = msgspec.json.decode(text, type=_Set).keys
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ValueError(f"it is no JWKS: {error}") from None
    keys = [key for one in found[:MOST_KEYS] if (key := _key_of(one)) is not None]
    if not keys:
        raise ValueError(
            "it has no key for signatures: RSA from 2048 bits, P-256, P-384, P-521 or Ed25519"
        )
    return keys


def _key_of(record: dict[str, object]) -> Key | None:
    if record.get("use", "sig") != "sig" or record.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        key = PyJWK(record).key
    except Exception:  # one strange key must not hide the others
        return None
    if isinstance(key, RSAPublicKey):
        algorithms = _RSA if key.key_size >= MIN_RSA_BITS else frozenset()
    elif isinstance(key, EllipticCurvePublicKey):
        algorithms = frozenset((_CURVES.get(key.curve.name, ""),)) - {""}
    elif isinstance(key, Ed25519PublicKey):
        algorithms = frozenset(("EdDSA",))
    else:
        return None
    if isinstance(named := record.get("alg"), str):
        algorithms &= {named}
    kid = record.get("kid")
    return Key(kid if isinstance(kid, str) else None, key, algorithms) if algorithms else None


class KeySet:
    """The keys as they were last read. Finding a key never waits; `watch` keeps them fresh."""

    def __init__(self, source: str, clock: Clock) -> None:
        """`source` is a path or an https:// address; nothing is read yet."""
        self._clock = clock
        self._fetch = _fetcher(source) if "://" in source else _reader(Path(source).expanduser())
        self._source = source
        self._keys: list[Key] | None = None
        self._read_at = float("-inf")
        self._fault = "they were not read yet"
        self._wanted = asyncio.Event()
        self._attempts = self._read_by = 0  # attempts begun, and the last one that succeeded
        # By the id of a key that was not known: the attempts begun when it was first asked for.
        self._asked: dict[str | None, int] = {}

    def read(self, path: Path) -> None:
        """Read a file now, in this thread: for the start.

        Raises:
            OSError, ValueError: the file cannot be read, or is no JWKS.
        """
        self._take(keys_of(_read(path)))

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key of this id for this algorithm; without an id, the only key for it.

        Raises:
            UnavailableError: there are no keys now, or a new key may be there in a moment.
        """
        now = self._clock.monotonic()
        if self._keys is None or now - self._read_at > MOST_AGE_S:
            self._wanted.set()
            raise UnavailableError(
                f"JWT cannot be checked now, because the issuer's keys cannot be had: {self._fault};"
                " try again, or use another token"
            )
        found = [
            key
            for key in self._keys
            if algorithm in key.algorithms and (kid is None or key.id == kid)
        ]
        if len(found) == 1:
            return found[0]
        is_known = kid is None or any(key.id == kid for key in self._keys)
        if not is_known and not self._was_looked_for(kid):
            raise UnavailableError(
                "the key of this JWT is not known yet, and the issuer's keys are read again within"
                f" {AGAIN_S:g} s: try again then"
            )
        return None

    def _was_looked_for(self, kid: str | None) -> bool:
        """Whether the keys were read since this one was first asked for; if not, ask for that.

        Each key has its own answer: a stranger who asks for another one uses up nothing.
        """
        asked = self._asked.pop(kid, self._attempts)
        if self._read_by > asked:
            return True
        if len(self._asked) >= MOST_ASKED:
            self._asked.clear()
        self._asked[kid] = asked
        self._wanted.set()
        return False

    async def refresh(self) -> bool:
        """Make one attempt to read the keys; the old ones stay if it fails."""
        self._attempts += 1
        attempt = self._attempts
        self._wanted.clear()
        try:
            async with asyncio.timeout(FETCH_S):
                keys = keys_of(await self._fetch())
        except TimeoutError:
            self._fault = f"no answer within {FETCH_S:g} s"
        except OSError as error:
            self._fault = error.strerror or type(error).__name__
        except ValueError as error:
            self._fault = str(error)[:200]
        except httpx.HTTPError as error:
            self._fault = f"{type(error).__name__}: {error}"[:200]
        else:
            self._take(keys)
            self._read_by = attempt
            return True
        _log.warning("keys_not_read", source=self._source, error=self._fault)
        return False

    async def watch(self) -> None:
        """Refresh until cancelled."""
        while True:
            try:
                done = await self.refresh()
            except Exception as error:  # the keys must not end the gateway
                _log.error("keys_not_read", error_type=type(error).__name__, exc_info=error)
                done = False
            await self._pause(EVERY_S if done else AGAIN_S)

    async def _pause(self, most_s: float) -> None:
        """Wait `AGAIN_S` at least, and then until an attempt is wanted, or `most_s` in all."""
        rested = asyncio.Event()
        timers = (
            self._clock.call_later(AGAIN_S, rested.set),
            self._clock.call_later(most_s, self._wanted.set),
        )
        try:
            await rested.wait()
            await self._wanted.wait()
        finally:
            for timer in timers:
                timer.cancel()

    def _take(self, keys: list[Key]) -> None:
        self._keys = keys
        self._read_at = self._clock.monotonic()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(MOST_BYTES + 1))


def _bounded(text: bytes) -> bytes:
    if len(text) > MOST_BYTES:
        raise ValueError(f"it is over {MOST_BYTES} bytes")
    return text


def _reader(path: Path) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return await asyncio.to_thread(_read, path)

    return read


def _fetcher(address: str) -> Callable[[], Awaitable[bytes]]:
    """Fetches the address. The bare transport follows no redirect and keeps nothing."""

    async def fetch() -> bytes:
        # In a thread, because reading the certificates takes tens of milliseconds.
        transport = await asyncio.to_thread(httpx.AsyncHTTPTransport)
        headers = {
            "user-agent": f"sightline/{version('sightline-gateway')}",
            "accept": "application/json",
            "accept-encoding": "identity",
        }
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), FETCH_S)
        request = httpx.Request("GET", address, headers=headers, extensions={"timeout": timeouts})
        async with transport:
            response = await transport.handle_async_request(request)
            try:
                if response.status_code != 200:
                    raise ValueError(f"the answer was {response.status_code}")
                text = b""
                async for part in response.aiter_raw():
                    text = _bounded(text + part)
                return text
            finally:
                await response.aclose()

    return fetch
