"""What the journal costs and how fast it answers, measured in this process, one function a figure."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import msgspec

from app.catalog.registry import Catalog
from app.channels.backend import MemoryBackend
from app.channels.bus import EventBus, new_epoch
from app.channels.filters import EventFilter
from app.channels.publisher import EventPublisher
from app.channels.replay import ReplayStore
from app.channels.subscription import QueueBounds
from app.events import Clock, Event, Position
from app.journal.history import Question
from app.journal.journal import Journal
from app.journal.reader import Reader
from app.journal.record import to_timestamp
from app.journal.retention import Retention, size_on_disk
from app.journal.summary import first_position
from app.journal.writer import Bounds, Writer
from app.metrics import Counters

NOW_MS = 1_700_000_000_000
ROOMY = Bounds(1 << 40, 10**12)
BATCH = 1000
BURST = 192  # events, three turns: fewer than the thread is woken by
SETTLE_S = 0.004  # between bursts, for what the thread does after a batch
TYPES = ("chat.message_sent", "agent.tool_called", "file.modified", "git.commit_created")
WORDS = [f"{a}{b}" for a in ("red", "blue", "plan", "test", "build") for b in range(200)]
Figures = dict[str, float]


def event(number: int) -> Event:
    """One of 500 bytes with words, as agents write them: `rare` in every 10,000th."""
    words = " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 45))
    rare = " rare" if number % 10_000 == 0 else ""
    type_, stamp = TYPES[number % len(TYPES)], to_timestamp(NOW_MS + number * 10)
    message = {
        "type": type_,
        "timestamp": stamp,
        "sequence_number": number,
        "data": {"text": f"common {words}{rare}", "session_id": f"s{number // 1000}"},
        "metadata": {"agent": f"a{number % 7}"},
    }
    return Event(type_, stamp, number, 0.0, msgspec.json.encode(message))


def batches(first: int, last: int) -> Iterator[list[Event]]:
    """Events by number, made outside of what is timed."""
    for start in range(first, last + 1, BATCH):
        yield [event(n) for n in range(start, min(start + BATCH, last + 1))]


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        yield Path(name)


def grow(path: Path, first: int, last: int) -> Figures:
    """Store events up to number `last`: rows a second of the writer, and bytes on disk."""
    with closing(Writer(path, ROOMY)) as writer:
        writer.begin("bench", first - 1)
        retention = Retention(writer)
        seconds, size = 0.0, 0
        for batch in batches(first, last):
            size += sum(len(one.encoded) for one in batch)
            began = time.perf_counter()
            writer.store(batch)
            retention.step(NOW_MS)
            seconds += time.perf_counter() - began
    return {"rows_per_s": (last - first + 1) / seconds, "message_bytes": size}


def start_up(path: Path) -> Figures:
    """From nothing open to ready to store and to answer."""
    began = time.perf_counter()
    with closing(Writer(path, ROOMY)) as writer:
        writer.begin(
            "bench", writer.connection.execute("SELECT max(head) FROM epochs").fetchone()[0]
        )
        Retention(writer)
        first_position(writer.connection)
        with closing(Reader(path)) as reader:
            reader.page(Question(limit=1, order="desc"))
        seconds = time.perf_counter() - began
    return {"start_ms": seconds * 1000}


def questions(events: int) -> dict[str, Question]:
    """The slowest of each kind are shown."""
    return {
        **{
            f"history at {share}%": Question(
                limit=100, after=Position(events * share // 100, "bench")
            )
            for share in (0, 25, 50, 75, 99)
        },
        "history back": Question(limit=100, before=Position(events // 2, "bench"), order="desc"),
        "search rare word": Question(limit=100, words=("rare",), order="desc"),
        "search common word": Question(limit=100, words=("common",), order="desc"),
        "search phrase": Question(limit=100, words=("common red1",), order="desc"),
        "search two words": Question(limit=100, words=("red1", "plan7"), order="desc"),
        "search word of agent": Question(limit=100, words=("rare",), agent="a3", order="desc"),
        "search missing word": Question(limit=100, words=("nowhere",), order="desc"),
        "filter type": Question(limit=100, event_filter=EventFilter(("git.*",))),
    }


def answers(path: Path, events: int, runs: int) -> Figures:
    """Median milliseconds of each question."""
    found: Figures = {}
    with closing(Reader(path)) as reader:
        for name, question in questions(events).items():
            times = []
            for _ in range(runs):
                began = time.perf_counter()
                reader.page(question)
                times.append((time.perf_counter() - began) * 1000)
            found[name] = statistics.median(times)
    return found


def bounded(seconds: float, rate: int, max_bytes: int) -> Figures:
    """The most that file and log take, as a share of the bound, while events arrive."""
    with (
        folder() as place,
        closing(Writer(place / "journal.db", Bounds(max_bytes, 10**12))) as writer,
    ):
        writer.begin("bench", 0)
        retention, most = Retention(writer), 0
        for batch in batches(1, int(seconds * rate)):
            writer.store(batch)
            while retention.step(NOW_MS):
                most = max(most, size_on_disk(place / "journal.db"))
            most = max(most, size_on_disk(place / "journal.db"))
    return {"most_share": most / max_bytes, "stored_mb": seconds * rate * 600 / 1e6}


@asynccontextmanager
async def publishing(
    path: Path | None,
) -> AsyncIterator[tuple[EventPublisher, EventBus, Journal | None]]:
    """A bus with its publisher, and a journal if a path is given."""
    clock, catalog = Clock(), Catalog(("bench",))
    loop = asyncio.get_running_loop()
    # An epoch of its own: "bench" again would begin at 0, and delete what the file holds of it.
    store = ReplayStore(new_epoch(), 30, 100, 1 << 20)
    bus = EventBus(
        store, catalog, clock, loop.call_soon, QueueBounds(1000, 1 << 20), 100, Counters()
    )
    journal = None
    bus.owner.start(loop)
    if path is not None:
        journal = Journal(path, ROOMY, clock)
        await journal.open()
        bus.follow(journal)
    publisher = EventPublisher(MemoryBackend(bus), catalog, clock, 64 * 1024, journal)
    publisher.start(loop)
    try:
        yield publisher, bus, journal
    finally:
        if journal is not None:
            await journal.close()


async def _burst_us(publisher: EventPublisher, journal: Journal | None) -> float:
    """Microseconds of one `publish` of 1 KB, while events gather; the disk catches up untimed."""
    data: dict[str, object] = {"filler": "x" * 1000}
    began = time.perf_counter()
    for _ in range(BURST):
        last = await publisher.publish("bench.event", data)
    spent = time.perf_counter() - began
    if journal is not None:
        await journal.stored(last.sequence_number)
    await asyncio.sleep(SETTLE_S)
    return spent / BURST * 1e6


async def _publish_us(path: Path, bursts: int) -> tuple[list[float], list[float]]:
    """The bursts without and with a journal, in turns: both meet the same machine."""
    without, with_it = [], []
    async with publishing(None) as (bare, _, _), publishing(path) as (kept, _, journal):
        for _ in range(bursts):
            without.append(await _burst_us(bare, None))
            with_it.append(await _burst_us(kept, journal))
    return without, with_it


def publish(count: int, runs: int) -> Figures:
    """What the journal adds to one `publish`: the best bursts, as others use the machine, too."""
    without, with_it = [], []
    for _ in range(runs):
        with folder() as place:
            found = asyncio.run(_publish_us(place / "journal.db", count // BURST))
            without.append(min(found[0]))
            with_it.append(min(found[1]))
    return {
        "publish_us": min(without),
        "publish_with_us": min(with_it),
        "publish_ratio": min(with_it) / min(without),
    }


async def _latencies(path: Path, seconds: float, searches: int, events: int) -> list[float]:
    """Milliseconds from publish to read at 1,000 events a second, while searches run."""
    found: list[float] = []
    async with publishing(path) as (publisher, bus, journal):
        assert journal is not None
        subscription = bus.subscribe()

        async def read() -> None:
            async for one in subscription:
                if isinstance(one, Event):
                    found.append((time.perf_counter() - one.data["at"]) * 1000)

        async def search(question: Question) -> None:
            while True:
                await journal.page(question)

        kinds = [q for name, q in questions(events).items() if name.startswith("search")]
        tasks = [asyncio.create_task(read())]
        tasks += [asyncio.create_task(search(kinds[i % len(kinds)])) for i in range(searches)]
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            await publisher.publish("bench.event", {"at": time.perf_counter()})
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found


def live(path: Path, seconds: float, events: int) -> Figures:
    """Publish to read, alone and beside ten searches that never end."""
    figures: Figures = {}
    for name, searches in (("alone", 0), ("searched", 10)):
        times = asyncio.run(_latencies(path, seconds, searches, events))
        figures |= {
            f"{name}_p50_ms": statistics.median(times),
            f"{name}_p99_ms": statistics.quantiles(times, n=100)[98],
            f"{name}_max_ms": max(times),
        }
    return figures


async def _sqlalchemy(path: Path, count: int) -> float:
    from sqlalchemy import JSON, Integer, String, insert
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass

    class Row(Base):
        __tablename__ = "events"
        number: Mapped[int] = mapped_column(Integer, primary_key=True)
        type: Mapped[str] = mapped_column(String, index=True)
        occurred: Mapped[str] = mapped_column(String, index=True)
        payload: Mapped[dict[str, object]] = mapped_column(JSON)

    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    async with engine.begin() as connection:
        await connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        await connection.run_sync(Base.metadata.create_all)
    made = [event(n) for n in range(1, count + 1)]
    began = time.perf_counter()
    for one in made:
        async with AsyncSession(engine) as session, session.begin():
            values = {"number": one.sequence_number, "type": one.type, "occurred": one.timestamp}
            await session.execute(insert(Row).values(**values, payload=one.data))
    seconds = time.perf_counter() - began
    await engine.dispose()
    return count / seconds


def sqlalchemy(count: int) -> Figures:
    """One insert and commit an event with SQLAlchemy and aiosqlite, as Prefect stores events."""
    with folder() as place:
        return {"rows_per_s": asyncio.run(_sqlalchemy(place / "events.db", count))}


async def _jetstream(url: str, count: int) -> float:
    import nats

    client = await nats.connect(url)
    stream = client.jetstream(publish_async_max_pending=4000)
    await stream.add_stream(name="bench", subjects=["bench.>"])
    made = [event(n).encoded for n in range(1, count + 1)]
    began = time.perf_counter()
    acks = [await stream.publish_async("bench.event", one) for one in made]
    await asyncio.gather(*acks)
    seconds = time.perf_counter() - began
    await client.close()
    return count / seconds


def jetstream(count: int) -> Figures:
    """Publishes to NATS's file storage, acknowledged, thousands on their way."""
    from tests.nats_server import NatsServer

    with folder() as place:
        server = NatsServer(place).ready()
        try:
            return {"rows_per_s": asyncio.run(_jetstream(server.url, count))}
        finally:
            server.kill()
