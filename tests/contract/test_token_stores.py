"""Where named tokens are kept, a file or a bucket: the same holds for both."""

import asyncio
import errno
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.errors import NotFoundError
from structlog.testing import capture_logs

from app.auth.credentials import Credential
from app.auth.named import NamedToken, NamedTokens, create, encode_file, revoke, rotate
from app.auth.token_bucket import (
    TokenBucket,
    Value,
    change_shared,
    load_shared,
    shared_tokens,
    started,
)
from app.auth.token_file import TokenFile, editing, load
from app.auth.token_store import TokenStore
from app.auth.tokens import Keyring
from app.channels.nats import bucket as module
from app.errors import BadRequestError, SettingsError, UnavailableError
from app.settings import Settings
from tests.kit.tokens import new_token
from tests.nats_server import NatsServer
from tests.support import FakeClock

Change = Callable[[Sequence[NamedToken]], tuple[list[NamedToken], str]]


class Reading:
    """What one gateway has of the tokens."""

    def __init__(self, store: Callable[[NamedTokens], TokenStore]) -> None:
        self.clock = FakeClock()
        self.ended: list[str] = []
        self.tokens = NamedTokens(self.clock, self._on_end)
        self.store = store(self.tokens)

    def _on_end(self, token: NamedToken, credential: Credential) -> None:
        assert credential.ended
        self.ended.append(token.name)

    def admits(self, secret: str) -> bool:
        return self.tokens.find(secret.encode()) is not None


class Place(ABC):
    """A place of tokens, as the commands, the gateways and somebody with rights on it have it."""

    @abstractmethod
    async def change(self, change: Change) -> str: ...

    @abstractmethod
    async def load(self) -> list[NamedToken]: ...

    @abstractmethod
    async def gateway(self) -> Reading: ...

    @abstractmethod
    async def text(self) -> str: ...

    @abstractmethod
    async def put(self, text: str) -> None: ...

    @abstractmethod
    async def remove(self) -> None: ...

    @abstractmethod
    def go_away(self, patch: pytest.MonkeyPatch) -> None: ...

    async def add(self, name: str, *scopes: Any, **fields: Any) -> str:
        return await self.change(lambda all_: create(all_, new_token(name, *scopes, **fields)))


class FilePlace(Place):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "tokens.json"

    async def change(self, change: Change) -> str:
        def change_file() -> str:
            with editing(self._folder) as (tokens, write):
                changed, result = change(tokens)
                write(changed)
                return result

        return await asyncio.to_thread(change_file)

    async def load(self) -> list[NamedToken]:
        return load(self._path) or []

    async def gateway(self) -> Reading:
        reading = Reading(lambda tokens: TokenFile(self._folder, tokens))
        assert isinstance(reading.store, TokenFile)
        reading.store.read()
        return reading

    async def text(self) -> str:
        return self._path.read_text()

    async def put(self, text: str) -> None:
        self._path.write_text(text)

    async def remove(self) -> None:
        self._path.unlink()

    def go_away(self, patch: pytest.MonkeyPatch) -> None:
        def read_kept(path: Path, most_bytes: int) -> str:
            raise OSError(errno.EMFILE, "Too many open files")

        patch.setattr("app.auth.token_file.read_kept", read_kept)


class BucketPlace(Place):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._values: list[Value] = []

    def value(self) -> Value:
        value = shared_tokens(self._settings)
        assert value is not None
        self._values.append(value)
        return value

    async def change(self, change: Change) -> str:
        return await change_shared(self.value(), change)

    async def load(self) -> list[NamedToken]:
        return await load_shared(self.value())

    async def gateway(self) -> Reading:
        value = self.value()
        await value.start()
        reading = Reading(lambda tokens: TokenBucket(value, tokens))
        assert isinstance(reading.store, TokenBucket)
        reading.store.read()
        return reading

    async def _bucket(self, use: Callable[[Any], Any]) -> Any:
        """What another program does with the bucket, by nats-py's own view of it."""
        assert self._settings.nats_url is not None
        client = await nats.connect(self._settings.nats_url)
        try:
            name = f"{self._settings.nats_stream}_tokens"
            return await use(await client.jetstream().key_value(name))
        finally:
            await client.close()

    async def text(self) -> str:
        entry = await self._bucket(lambda bucket: bucket.get("tokens"))
        return str(entry.value.decode())

    async def put(self, text: str) -> None:
        await self._bucket(lambda bucket: bucket.put("tokens", text.encode()))
        await self._bucket(lambda bucket: bucket.put("another", b"a foreign key is ignored"))

    async def remove(self) -> None:
        await self._bucket(lambda bucket: bucket.delete("tokens"))

    def go_away(self, patch: pytest.MonkeyPatch) -> None:
        async def request(*_: object) -> bytes:
            raise OSError(errno.ECONNREFUSED, "Connect call failed")

        patch.setattr("app.channels.nats.bucket.stream.request", request)

    async def end(self) -> None:
        for value in self._values:
            await value.close()


@pytest.fixture
async def in_bucket(nats_url: str, stream_name: str) -> AsyncIterator[BucketPlace]:
    place = BucketPlace(Settings(tokens="nats", nats_url=nats_url, nats_stream=stream_name))
    yield place
    await place.end()


@pytest.fixture(params=["file", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each place in turn."""
    if request.param == "file":
        return FilePlace(tmp_path / "state")
    found: BucketPlace = request.getfixturevalue("in_bucket")
    return found


async def test_it_holds_no_secret_and_what_is_written_is_read_back(place: Place) -> None:
    assert await place.load() == []
    secret = await place.add("ci", "publish", publish=("workflow.*",))
    text = await place.text()
    (token,) = await place.load()
    assert secret not in text
    assert token.hash in text
    assert (token.name, token.publish) == ("ci", ("workflow.*",))


async def test_a_token_counts_and_ends_at_every_gateway(place: Place) -> None:
    first, second = await place.gateway(), await place.gateway()
    old = await place.add("a", "read")
    kept = await place.add("b", "read")
    for gateway in (first, second):
        assert not gateway.admits(old)
        await gateway.store.refresh()
        assert gateway.tokens.configured
        assert gateway.admits(old)
        assert gateway.admits(kept)
    new = await place.change(lambda tokens: rotate(tokens, "a", 1.0, None))
    for gateway in (first, second):
        await gateway.store.refresh()
        assert (gateway.admits(old), gateway.admits(new)) == (False, True)
    await place.change(lambda tokens: (revoke(tokens, "a"), ""))
    for gateway in (first, second):
        await gateway.store.refresh()
        await gateway.store.refresh()
        assert (gateway.admits(new), gateway.admits(kept)) == (False, True)
        assert gateway.ended == ["a", "a"]
    later = await place.gateway()
    assert (later.admits(new), later.admits(kept)) == (False, True)


async def test_commands_at_once_lose_nothing(place: Place) -> None:
    await place.add("gone", "read")
    await asyncio.gather(
        place.change(lambda tokens: (revoke(tokens, "gone"), "")),
        *(place.add(f"t{number}", "read") for number in range(6)),
    )
    assert {token.name for token in await place.load()} == {f"t{n}" for n in range(6)}
    with pytest.raises(BadRequestError, match="there is a token 't1'"):
        await place.add("t1", "read")
    with pytest.raises(BadRequestError, match="no token 'gone'"):
        await place.change(lambda tokens: (revoke(tokens, "gone"), ""))


@pytest.mark.parametrize(
    "foreign", ["no json", "[]", '{"tokens":[{}]}', '{"tokens":[],"version":2}']
)
async def test_what_is_malformed_admits_nobody_and_is_never_replaced(
    place: Place, foreign: str
) -> None:
    secret = await place.add("a", "read")
    right = await place.text()
    gateway = await place.gateway()
    await place.put(foreign)
    with capture_logs() as logs:
        await gateway.store.refresh()
        await gateway.store.refresh()
    assert not gateway.admits(secret)
    assert gateway.tokens.configured
    (log,) = logs
    assert (log["event"], log["log_level"]) == ("tokens_not_believed", "error")
    assert "is malformed" in log["why"]
    with pytest.raises(ValueError, match="is malformed"):
        await place.add("b", "read")
    assert await place.text() == foreign
    later = await place.gateway()
    assert (later.tokens.configured, later.admits(secret)) == (True, False)
    await place.put(right)
    await gateway.store.refresh()
    assert gateway.admits(secret)


async def test_deleting_it_ends_all_tokens_and_new_ones_can_be_made(place: Place) -> None:
    secret = await place.add("a", "read")
    gateway = await place.gateway()
    await place.remove()
    await gateway.store.refresh()
    assert (gateway.admits(secret), gateway.ended) == (False, ["a"])
    again = await place.add("a", "read")
    await gateway.store.refresh()
    assert gateway.admits(again)


async def test_while_it_cannot_be_read_tokens_go_on_and_expire_and_then_all_changes_count(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await place.gateway()
    ends = gateway.clock.wall() + 10
    stays, brief = await place.add("a", "read"), await place.add("b", "read", expires_at=ends)
    gone = await place.add("c", "read")
    await gateway.store.refresh()
    await place.change(lambda tokens: (revoke(tokens, "c"), ""))
    with monkeypatch.context() as patch, capture_logs() as logs:
        place.go_away(patch)
        for _ in range(3):
            await gateway.store.refresh()
        assert [gateway.admits(it) for it in (stays, brief, gone)] == [True, True, True]
        gateway.clock.advance(10)
        assert [gateway.admits(it) for it in (stays, brief, gone)] == [True, False, True]
    assert {log["event"] for log in logs} == {"tokens_unreadable"}
    await gateway.store.refresh()
    assert [gateway.admits(it) for it in (stays, brief, gone)] == [True, False, False]


async def test_if_the_file_cannot_be_read_at_the_start_events_are_signed_as_with_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = FilePlace(tmp_path)
    secret = (await place.add("a", "read")).encode()
    with monkeypatch.context() as patch:
        place.go_away(patch)
        keyring = Keyring(Settings(state_dir=tmp_path), FakeClock())
        assert keyring.named.configured
        assert keyring.audit.publishes
        assert keyring.credential_of(secret, None) is None
    await keyring.token_store.refresh()
    assert keyring.credential_of(secret, None) is not None
    without = Keyring(Settings(state_dir=tmp_path / "none"), FakeClock())
    assert (without.named.configured, without.audit.publishes) == (False, False)


async def test_if_the_file_was_only_unreadable_and_is_not_there_nothing_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("app.auth.token_file.os.lstat", no_answer)
        keyring = Keyring(Settings(state_dir=tmp_path, session_token="t"), FakeClock())
        assert keyring.named.configured
    await keyring.token_store.refresh()
    assert (keyring.named.configured, keyring.audit.publishes) == (False, False)


def no_answer(path: Path) -> None:
    raise OSError(errno.EIO, "Input/output error")


async def test_a_gateway_does_not_start_while_the_bucket_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "START_WAIT_S", 0.5)
    value = shared_tokens(Settings(tokens="nats", nats_url="nats://127.0.0.1:1"))
    with pytest.raises(SettingsError, match=r"NATS cannot be used .*KV_sightline_tokens"):
        async with started(value):
            raise AssertionError
    with pytest.raises(SettingsError, match="give SIGHTLINE_NATS_URL"):
        shared_tokens(Settings(tokens="nats"))
    assert shared_tokens(Settings(nats_url="nats://127.0.0.1:1")) is None


async def test_a_bucket_without_tokens_is_signed_for_like_one_with_them(
    in_bucket: BucketPlace,
) -> None:
    gateway = await in_bucket.gateway()
    assert gateway.tokens.configured


async def test_an_answer_that_is_older_than_the_last_one_brings_no_revoked_token_back(
    in_bucket: BucketPlace,
) -> None:
    secret = await in_bucket.add("a", "read")
    old = await in_bucket.value().read()
    await in_bucket.change(lambda tokens: (revoke(tokens, "a"), ""))
    gateway = await in_bucket.gateway()
    assert isinstance(gateway.store, TokenBucket)
    assert not gateway.admits(secret)
    with capture_logs() as logs:
        gateway.store._take(gateway.store._found(old))
    assert not gateway.admits(secret)
    assert [log["error"] for log in logs] == ["NATS answers with an older value than before"]


async def test_a_bucket_that_is_made_again_counts_although_its_revisions_begin_again(
    in_bucket: BucketPlace,
) -> None:
    # Not on a real server: a bucket that is made again at once may begin with what the old one held.
    gateway = await in_bucket.gateway()
    assert isinstance(gateway.store, TokenBucket)
    for revision, stored_at in ((2, 100.0), (2, 200.0), (1, 300.0)):
        tokens, secret = create([], new_token("a", "read"))
        made_again = module.Stored(revision, stored_at, encode_file(tokens).encode())
        gateway.store._take(gateway.store._found(made_again))
        assert gateway.admits(secret)


async def test_a_bucket_that_is_emptied_or_deleted_ends_all_tokens(
    in_bucket: BucketPlace, nats_url: str, stream_name: str
) -> None:
    first = await in_bucket.add("a", "read")
    gateway = await in_bucket.gateway()
    assert gateway.admits(first)
    client = await nats.connect(nats_url)
    jetstream, name = client.jetstream(), f"{stream_name}_tokens"
    await jetstream.purge_stream(f"KV_{name}")
    await gateway.store.refresh()
    assert not gateway.admits(first)
    second = await in_bucket.add("a", "read")
    await gateway.store.refresh()
    assert gateway.admits(second)
    await jetstream.delete_key_value(name)
    await gateway.store.refresh()
    assert not gateway.admits(second)
    with pytest.raises(NotFoundError):
        await jetstream.stream_info(stream_name)  # the events are elsewhere
    await client.close()


async def test_a_write_that_nats_does_not_confirm_is_said_to_be_in_doubt(
    in_bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def publish(*_: object) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(module.BucketValue, "_publish", publish)
    with pytest.raises(UnavailableError, match=r"did not confirm .*no answer.*token list"):
        await in_bucket.add("a", "read")


async def test_a_bucket_is_read_again_after_nats_was_killed(
    tmp_path: Path, stream_name: str
) -> None:
    server = NatsServer(tmp_path / "nats").ready()
    place = BucketPlace(Settings(tokens="nats", nats_url=server.url, nats_stream=stream_name))
    try:
        stays, gone = await place.add("a", "read"), await place.add("b", "read")
        gateway = await place.gateway()
        server.kill()
        with capture_logs():
            await gateway.store.refresh()
        assert gateway.admits(stays)
        assert gateway.admits(gone)
        server.start()
        server.ready()
        await place.change(lambda tokens: (revoke(tokens, "b"), ""))
        await gateway.store.refresh()
        assert (gateway.admits(stays), gateway.admits(gone)) == (True, False)
    finally:
        await place.end()
        server.kill()
