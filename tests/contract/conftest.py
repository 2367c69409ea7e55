"""Rigs: a bus with its publisher over each backend, JetStream on a real server."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import nats
import pytest

from app.catalog.registry import Catalog
from app.channels.backend import ChannelBackend, MemoryBackend
from app.channels.nats import consumer, domains, stream
from app.channels.nats.backend import JetStreamBackend
from app.channels.nats.intake import Intake
from app.channels.publisher import EventPublisher
from app.events import Clock
from app.redaction import Redactor
from app.settings import Settings
from tests.nats_server import NatsServer
from tests.support import make_bus


@pytest.fixture
def stream_name() -> str:
    """Of its own for each test: nats-server deletes files in the background, and a stream that is
    made again at once under the same name may begin with what the old one held."""
    return f"test-{secrets.token_hex(4)}"


class Rig:
    """What one gateway has below its sockets."""

    def __init__(self, nats_url: str | None, **settings: Any) -> None:
        self.bus = make_bus(
            Clock(), queue_size=10_000, replay_limit=1000, max_events=10_000, max_bytes=10_000_000
        )
        self.restarts: list[str] = []  # the epoch that each one left
        self.states: list[bool] = []
        self.backend: ChannelBackend = MemoryBackend(self.bus)
        if nats_url is not None:
            chosen = Settings(nats_url=nats_url, nats_publish_wait_s=5, **settings)
            self.backend = JetStreamBackend(
                self.bus,
                chosen,
                lambda: self.restarts.append(self.bus.epoch),
                self.states.append,
                Intake(Redactor(), chosen.max_event_bytes),
            )
        self.publisher = EventPublisher(self.backend, Catalog(["plugin"]), self.bus.clock, 1000)

    async def publish(self, count: int) -> list[int]:
        events = [("plugin.up", {"n": n}, {}) for n in range(count)]
        return [event.sequence_number for event in await self.publisher.publish_all(events)]


@pytest.fixture(autouse=True)
def _notice_silence_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(consumer, "QUIET_S", 0.6)
    monkeypatch.setattr(stream, "REQUEST_TIMEOUT_S", 0.6)
    monkeypatch.setattr(domains, "PROBE_S", 0.03)


MakeRig = Callable[..., Awaitable[Rig]]


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats")).ready()
    yield server
    server.kill()


@pytest.fixture
async def nats_url(nats_server: NatsServer) -> AsyncIterator[str]:
    """A server without streams."""
    yield nats_server.url
    client = await nats.connect(nats_server.url)
    jetstream = client.jetstream()
    for found in await jetstream.streams_info():
        await jetstream.delete_stream(found.config.name)
    await client.close()


@pytest.fixture
async def make_rig(stream_name: str) -> AsyncIterator[MakeRig]:
    """Start rigs, all on the same log where there is one."""
    rigs: list[Rig] = []

    async def make(nats_url: str | None, **settings: Any) -> Rig:
        rig = Rig(nats_url, **{"nats_stream": stream_name, **settings})
        rigs.append(rig)
        await rig.backend.start()
        rig.restarts.clear()
        return rig

    yield make
    for rig in rigs:
        await rig.backend.stop()


@pytest.fixture(params=["memory", "jetstream"])
def log_url(request: pytest.FixtureRequest) -> str | None:
    """Where the log is, for each backend in turn."""
    return None if request.param == "memory" else request.getfixturevalue("nats_url")


@pytest.fixture
async def rig(make_rig: MakeRig, log_url: str | None) -> Rig:
    """One gateway over each backend."""
    return await make_rig(log_url)
