"""Any history of publishing, stalling, refiltering and coming back, on the direct path.

Each client sits behind a real `DirectOutlet` on a fake transport that fills up, also in the middle
of a flush. What a client reads is held against the machine's own record: every event that its
filter let through is read in order and once, or is named by a gap where it is missing.
"""

import msgspec
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.channels.bus import FLUSH_EVENTS
from app.channels.filters import EventFilter
from app.events import Position
from app.ws.messages import encode
from app.ws.outlet import DirectOutlet
from app.ws.session import Session
from tests.kit.examples import up_to
from tests.kit.filters import FILTERS, TYPES, allows
from tests.support import EPOCH, FakeClock, FakeTransport, make_bus, publish

QUEUE_SIZE, REPLAY_LIMIT, MAX_CLIENTS = 6, 5, 4
PICK = st.integers(0, MAX_CLIENTS - 1)


class Client:
    """A client that reads from its transport, and what it is owed."""

    def __init__(self, patterns: tuple[str, ...], room: int, owed: list[int]) -> None:
        self.patterns = patterns
        self.transport = FakeTransport(room)
        self.owed = owed  # numbers that its filter let through and it has neither read nor lost
        self.position = self.last_event = 0
        self.stalled = False  # whether its buffer was ever full: only then may it lose anything

    def read(self) -> None:
        """Take everything the transport holds, and hold it against the record."""
        for message in self.transport.take():
            type_ = message["type"]
            if type_ == "gap":
                self.read_gap(message)
            elif type_ == "heartbeat":
                assert not [n for n in self.owed if n <= message["sequence_number"]]
                self.position = max(self.position, message["sequence_number"])
            elif type_ == "subscribed":
                assert not [n for n in self.owed if n <= message["sequence_number"]]
                assert self.last_event <= message["sequence_number"]
            elif "." in type_:
                assert self.owed, f"{message['sequence_number']} was not owed"
                assert message["sequence_number"] == self.owed.pop(0)
                assert message["sequence_number"] > self.position
                self.position = self.last_event = message["sequence_number"]

    def read_gap(self, gap: dict[str, int]) -> None:
        first, last = gap["from_sequence_number"], gap["to_sequence_number"]
        assert self.position < first <= last
        assert gap["reason"] != "slow_consumer" or self.stalled
        lost = [n for n in self.owed if n <= last]
        assert lost
        assert (lost[0], lost[-1], len(lost)) == (first, last, gap["dropped"])
        self.owed = self.owed[len(lost) :]
        self.position = last


class DirectStream(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bus = make_bus(
            FakeClock(), queue_size=QUEUE_SIZE, replay_limit=REPLAY_LIMIT, max_events=99_999
        )
        self.types: list[str] = []  # of all that was published, in order
        self.clients: list[Client] = []
        self.connect(("*",), 3, None)

    def connect(self, patterns: tuple[str, ...], room: int, position: int | None) -> None:
        owed: list[int] = []
        if position is not None:
            after = enumerate(self.types[position:], position + 1)
            owed = [number for number, type_ in after if allows(patterns, type_)]
        client = Client(patterns, room, owed)
        client.position = len(self.types) if position is None else position
        at = None if position is None else Position(position, EPOCH)
        client.subscription, _ = self.bus.join(EventFilter(patterns), at)
        client.outlet = DirectOutlet(client.subscription, client.transport, self.bus.clock, 30.0)
        client.session = Session(self.bus, client.subscription)
        client.outlet.attach()
        self.clients.append(client)

    def pick(self, index: int) -> Client:
        return self.clients[index % len(self.clients)]

    @rule(types=st.lists(TYPES, min_size=1, max_size=8))
    def publish(self, types: list[str]) -> None:
        for type_ in types:
            publish(self.bus, type_)
            self.types.append(type_)
            for client in self.clients:
                if allows(client.patterns, type_):
                    client.owed.append(len(self.types))
                client.stalled |= not client.transport.writable

    @rule()
    def publish_more_than_a_turn_holds(self) -> None:
        self.publish(["a.x", "b.y"] * (FLUSH_EVENTS // 2 + 3))

    @rule()
    def the_turn_ends(self) -> None:
        self.bus.flush()

    @rule(index=PICK)
    def read(self, index: int) -> None:
        client = self.pick(index)
        client.stalled |= not client.transport.writable
        client.read()

    @rule(index=PICK, patterns=FILTERS)
    def refilter(self, index: int, patterns: tuple[str, ...]) -> None:
        client = self.pick(index)
        for verb, types in (("subscribe", patterns), ("unsubscribe", client.patterns)):
            gone = [type_ for type_ in types if verb == "subscribe" or type_ not in patterns]
            message = msgspec.json.encode({"type": verb, "types": gone}).decode()
            client.outlet.answer(encode(client.session.handle(message)), in_order=True)
        client.patterns = patterns

    @rule(index=PICK)
    def ping(self, index: int) -> None:
        """Answered at once, in the middle of a turn; the answer may be what fills the transport."""
        client = self.pick(index)
        client.outlet.answer(encode(client.session.handle('{"type":"ping"}')))

    @rule(index=PICK)
    def beat(self, index: int) -> None:
        self.pick(index).outlet.beat()

    @precondition(lambda self: len(self.clients) < MAX_CLIENTS)
    @rule(patterns=FILTERS, room=st.integers(1, 12))
    def join(self, patterns: tuple[str, ...], room: int) -> None:
        self.connect(patterns, room, None)

    @rule(index=PICK, unprocessed=st.integers(0, 4), room=st.integers(1, 12))
    def come_back(self, index: int, unprocessed: int, room: int) -> None:
        """The connection dies with all that its transport held; some of what was read is lost too."""
        gone = self.pick(index)
        gone.subscription.close()
        self.clients.remove(gone)
        self.connect(gone.patterns, room, max(0, gone.position - unprocessed))

    @invariant()
    def the_bus_knows_exactly_who_is_here_and_bounds_what_they_hold(self) -> None:
        assert self.bus.subscriptions == len(self.clients)
        for client in self.clients:
            assert len(client.subscription) <= QUEUE_SIZE
            if not client.transport.writable:
                assert client.transport.unread <= client.transport.room + 2 * FLUSH_EVENTS

    def teardown(self) -> None:
        self.bus.flush()
        for client in self.clients:
            while not client.transport.writable or client.transport.unread:
                client.stalled = True
                client.read()
            assert client.owed == []
            assert len(client.subscription) == 0


TestDirectStream = DirectStream.TestCase
TestDirectStream.settings = settings(
    max_examples=up_to(120),
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
