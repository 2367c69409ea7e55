"""Any history of publishing, pausing and coming back: each client gets what it is owed, or a gap.

The machine keeps its own record of what was published and of what each filter let through, and
holds every item a client takes against it.
"""

import msgspec
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.channels.filters import EventFilter
from app.channels.subscription import Subscription
from app.events import Event, Gap, Position
from tests.kit.examples import up_to
from tests.kit.filters import FILTERS, TYPES, allows
from tests.support import EPOCH, FakeClock, make_bus, publish

QUEUE_SIZE, QUEUE_BYTES, REPLAY_LIMIT = 4, 700, 3
WINDOW_S, STORE_EVENTS, STORE_BYTES = 10.0, 12, 1800
MAX_CLIENTS = 4

PICK = st.integers(0, MAX_CLIENTS - 1)


class Client:
    """What a well-behaved client knows, and what the test knows that it is owed."""

    subscription: Subscription

    def __init__(self, patterns: tuple[str, ...], position: int) -> None:
        self.patterns = patterns
        self.position = position  # processed up to here, of the current epoch
        self.owed: list[int] = []  # not yet delivered or reported as lost, ascending
        self.queue: list[Event] = []  # what must still come, by a naive model of drop-oldest
        self.slow: list[int] = []  # lost to slowness, not yet reported
        self.expected_gaps: list[Gap] = []  # of the replay, not yet reported
        self.dropped = 0
        self.reported_up_to = position

    def offer(self, event: Event) -> None:
        if not allows(self.patterns, event.type):
            return
        self.owed.append(event.sequence_number)
        self.queue.append(event)
        while len(self.queue) > QUEUE_SIZE or (
            len(self.queue) > 1 and sum(len(e.encoded) for e in self.queue) > QUEUE_BYTES
        ):
            self.slow.append(self.queue.pop(0).sequence_number)
            self.dropped += 1


class Stream(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.bus = make_bus(
            self.clock,
            queue_size=QUEUE_SIZE,
            queue_max_bytes=QUEUE_BYTES,
            replay_limit=REPLAY_LIMIT,
            window_s=WINDOW_S,
            max_events=STORE_EVENTS,
            max_bytes=STORE_BYTES,
        )
        self.published: list[Event] = []
        self.clients: list[Client] = []
        self.connect(("*",), None)

    def connect(self, patterns: tuple[str, ...], position: Position | None) -> None:
        client = Client(patterns, len(self.published) if position is None else 0)
        if position is not None:
            self.expect_replay(client, position)
        subscription, replay = self.bus.join(EventFilter(patterns), position)
        client.subscription = subscription
        assert replay.resumed == (position is not None and not client.expected_gaps)
        assert len(replay.events) == len(client.queue)
        self.clients.append(client)

    def retained(self) -> list[Event]:
        kept: list[Event] = []
        size = 0
        for event in reversed(self.published):
            size += len(event.encoded)
            old = self.clock.now - event.accepted_at > WINDOW_S
            if old or size > STORE_BYTES or len(kept) == STORE_EVENTS:
                break
            kept.insert(0, event)
        return kept

    def expect_replay(self, client: Client, position: Position) -> None:
        """Say from the protocol's rules 1 to 4 what must come."""
        head, number, kept = len(self.published), position.sequence_number, self.retained()
        first = kept[0].sequence_number if kept else head + 1
        if position.epoch not in (EPOCH, None) or number > head:
            number = 0
            client.expected_gaps.append(Gap(None, None, None, "epoch_changed"))
        else:
            client.owed = [
                e.sequence_number
                for e in self.published[number:]
                if allows(client.patterns, e.type)
            ]
            if number < first - 1 and client.patterns:
                count = first - 1 - number if "*" in client.patterns else None
                client.expected_gaps.append(Gap(number + 1, first - 1, count, "expired"))
        matching = [
            e for e in kept if e.sequence_number > number and allows(client.patterns, e.type)
        ]
        if client.expected_gaps and client.expected_gaps[0].reason == "epoch_changed":
            client.owed = [e.sequence_number for e in matching]
        newest: list[Event] = []
        for event in reversed(matching):
            size = sum(len(e.encoded) for e in (event, *newest))
            if len(newest) == REPLAY_LIMIT or size > QUEUE_BYTES:
                break
            newest.insert(0, event)
        lost = matching[: len(matching) - len(newest)]
        if lost:
            ends = lost[0].sequence_number, lost[-1].sequence_number
            client.expected_gaps.append(Gap(*ends, len(lost), "replay_limit"))
        client.queue = newest
        client.position = client.reported_up_to = number

    def pick(self, index: int) -> Client:
        return self.clients[index % len(self.clients)]

    @rule(types=st.lists(TYPES, min_size=1, max_size=6), size=st.sampled_from([0, 0, 0, 150, 900]))
    def publish(self, types: list[str], size: int) -> None:
        for type_ in types:
            (event,) = publish(self.bus, type_, data=msgspec.json.encode({"k": "x" * size}))
            self.published.append(event)
            assert event.sequence_number == len(self.published) == self.bus.head
            for client in self.clients:
                client.offer(event)

    @rule(seconds=st.sampled_from([0.5, 4.0, WINDOW_S, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: len(self.clients) < MAX_CLIENTS)
    @rule(patterns=FILTERS)
    def join(self, patterns: tuple[str, ...]) -> None:
        self.connect(patterns, None)

    @rule(
        index=PICK,
        unprocessed=st.integers(0, 4),
        epoch=st.sampled_from([EPOCH, EPOCH, EPOCH, None, "another"]),
    )
    def come_back(self, index: int, unprocessed: int, epoch: str | None) -> None:
        """The connection dies; some of what was taken from it was never processed."""
        gone = self.pick(index)
        gone.subscription.close()
        self.clients.remove(gone)
        self.connect(gone.patterns, Position(max(0, gone.position - unprocessed), epoch))

    @rule(index=PICK, beyond=st.integers(1, 3))
    def come_back_from_the_future(self, index: int, beyond: int) -> None:
        gone = self.pick(index)
        gone.subscription.close()
        self.clients.remove(gone)
        self.connect(gone.patterns, Position(len(self.published) + beyond, EPOCH))

    @rule(index=PICK, patterns=FILTERS)
    def refilter(self, index: int, patterns: tuple[str, ...]) -> None:
        client = self.pick(index)
        client.subscription.refilter(EventFilter(patterns))
        client.patterns = patterns

    @rule(index=PICK)
    def become_a_connection(self, index: int) -> None:
        """Its queue is filled once a turn from now on; here a turn is a step of the machine."""
        self.pick(index).subscription.fall_behind()

    @rule(index=PICK)
    def heartbeat(self, index: int) -> None:
        client = self.pick(index)
        position = client.subscription.position
        assert client.reported_up_to <= position <= len(self.published)
        if not client.expected_gaps:
            assert not [number for number in client.owed if number <= position]
            if not client.owed:
                assert position == len(self.published)
        client.position = client.reported_up_to = position

    @rule(index=PICK, count=st.integers(1, 8))
    def take(self, index: int, count: int) -> None:
        client = self.pick(index)
        for _ in range(count):
            if not self.take_one(client):
                break

    def take_one(self, client: Client) -> bool:
        item = client.subscription.take()
        if isinstance(item, Event):
            assert not client.expected_gaps
            assert not client.slow, "a loss must be reported before what is newer"
            assert item is client.queue.pop(0)
            assert item.sequence_number == client.owed.pop(0) > client.reported_up_to
            client.position = client.reported_up_to = item.sequence_number
        elif isinstance(item, Gap):
            self.check_gap(client, item)
        else:
            unsaid = client.owed, client.queue, client.slow, client.expected_gaps
            assert not any(unsaid)
        return item is not None

    def check_gap(self, client: Client, gap: Gap) -> None:
        if client.expected_gaps:
            assert gap == client.expected_gaps.pop(0)
        else:
            ends = client.slow[0], client.slow[-1]
            assert gap == Gap(*ends, len(client.slow), "slow_consumer")
            client.slow = []
        first, last = gap.from_sequence_number, gap.to_sequence_number
        if first is None or last is None:
            return
        assert client.reported_up_to < first <= last, "gaps never overlap what was reported before"
        reported = [number for number in client.owed if number <= last]
        assert all(number >= first for number in reported)
        if gap.reason != "expired":
            assert gap.dropped == len(reported)
        client.owed = client.owed[len(reported) :]
        client.position = client.reported_up_to = last

    @invariant()
    def queues_are_bounded_and_drops_are_counted(self) -> None:
        self.bus.flush()
        for client in self.clients:
            subscription = client.subscription
            assert len(subscription) == len(client.queue) <= QUEUE_SIZE
            assert subscription.dropped == client.dropped
        assert self.bus.subscriptions == len(self.clients)

    def teardown(self) -> None:
        for client in self.clients:
            while self.take_one(client):
                pass


TestStream = Stream.TestCase
TestStream.settings = settings(
    max_examples=up_to(120),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
