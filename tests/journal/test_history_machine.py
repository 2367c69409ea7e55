"""What the journal answers, held against a model: a list of everything that was published."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from app.channels.filters import EventFilter
from app.events import Event, Position
from app.journal.history import Question
from app.journal.reader import Reader
from app.journal.record import to_timestamp
from app.journal.retention import Retention
from app.journal.writer import Bounds, Writer

LEFT_OUT = frozenset({"chat.streaming_chunk"})
TYPES = ("file.created", "git.commit_created", "agent.message", "chat.streaming_chunk")
NOW_MS = 1_700_000_000_000


def event(
    number: int, type_: str, time_ms: int, data: dict[str, object], agent: str | None
) -> Event:
    metadata = {} if agent is None else {"agent": agent}
    stamp = to_timestamp(time_ms)
    message = {
        "type": type_,
        "timestamp": stamp,
        "sequence_number": number,
        "data": data,
        "metadata": metadata,
    }
    return Event(type_, stamp, number, 0.0, msgspec.json.encode(message))


def holds(words: frozenset[str], term: str) -> bool:
    """Whether a word, or the beginning of one, is among the words of an event."""
    if term.endswith("*"):
        return any(word.startswith(term[:-1]) for word in words)
    return term in words


class Known(msgspec.Struct):
    epoch: str
    number: int
    time_ms: int
    type: str
    agent: str | None
    words: frozenset[str]
    message: bytes


class JournalMachine(RuleBasedStateMachine):
    """Epochs, holes, left-out types, retention; every page equals the model's."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.db"
        self.bounds = Bounds(64 * 1024 * 1024, 3_600_000)
        self.events: list[Known] = []
        self.holes: set[tuple[str, int]] = set()
        self.epochs = 0
        self.heads: dict[str, int] = {}  # the highest number of each epoch, in their order
        self.time_ms = NOW_MS
        self.writer = Writer(self.path, self.bounds, LEFT_OUT)
        self.reader = Reader(self.path)
        self.new_epoch(0)

    def teardown(self) -> None:
        self.reader.close()
        self.writer.close()
        self.folder.cleanup()

    def new_epoch(self, head: int) -> None:
        self.epochs += 1
        self.epoch, self.head = f"e{self.epochs}", head
        self.heads[self.epoch] = head
        self.writer.begin(self.epoch, head)

    @rule(head=st.sampled_from([0, 0, 7]))
    def a_crash_begins_an_epoch(self, head: int) -> None:
        self.reopen()
        self.new_epoch(head)

    @rule()
    def a_clean_restart_goes_on(self) -> None:
        self.reopen()
        self.writer.begin(self.epoch, self.head)

    @rule(back=st.integers(1, 9))
    def a_stream_sends_its_newest_events_again_or_lost_them(self, back: int) -> None:
        """As after a restart on NATS: an epoch without a number came between."""
        self.reopen()
        self.writer.begin("nothing came", 0)
        self.head = max(0, self.head - back)
        self.writer.begin(self.epoch, self.head)
        kept = [known for known in self.events if known.epoch != self.epoch]
        self.events = kept + [
            known
            for known in self.events
            if known.epoch == self.epoch and known.number <= self.head
        ]
        self.holes = {(e, n) for e, n in self.holes if e != self.epoch or n <= self.head}

    def reopen(self) -> None:
        self.writer.close()
        self.writer = Writer(self.path, self.bounds, LEFT_OUT)

    @rule(
        batch=st.lists(
            st.tuples(
                st.sampled_from(TYPES),
                st.sampled_from([None, "ada", "bob"]),
                st.sampled_from(["red", "green", "red green", "gr\\een\nblue"]),
                st.integers(0, 400_000),
                st.booleans(),
            ),
            max_size=12,
        )
    )
    def publish(self, batch: list[tuple[str, str | None, str, int, bool]]) -> None:
        events = []
        for type_, agent, words, later_ms, lost in batch:
            self.head += 1
            self.time_ms += later_ms
            if lost:
                self.holes.add((self.epoch, self.head))
                continue
            made = event(self.head, type_, self.time_ms, {"text": words}, agent)
            events.append(made)
            if type_ not in LEFT_OUT:
                found = frozenset(words.replace("\\", " ").split())
                self.events.append(
                    Known(self.epoch, self.head, self.time_ms, type_, agent, found, made.encoded)
                )
        while events and events[-1].sequence_number != self.head:
            self.head -= 1  # a loss is seen with the next event
            self.holes.discard((self.epoch, self.head + 1))
        if not events:
            self.head = self.writer.head
            self.holes = {(e, n) for e, n in self.holes if e != self.epoch or n <= self.head}
        self.writer.store(events)
        self.heads[self.epoch] = max(self.heads[self.epoch], self.head)

    @rule(index=st.integers(0, 9), share=st.floats(0, 1), limit=st.integers(1, 7))
    def go_on_from_a_position_that_a_client_may_hold(
        self, index: int, share: float, limit: int
    ) -> None:
        """Also in an epoch that had no event, or of which nothing is left."""
        epochs = list(self.heads)
        index %= len(epochs)
        number = round(share * self.heads[epochs[index]])
        wanted = [
            known.message
            for known in self.events
            if (epochs.index(known.epoch), known.number) > (index, number)
        ]
        found: list[bytes] = []
        further: str | None = f"{epochs[index]}:{number}"
        for _ in range(2000):
            if further is None:
                break
            page = self.reader.page(Question(limit=limit, after=position(further)))
            assert page is not None, f"the journal does not know {further}"
            found += page.messages
            further = page.newer
        assert found == wanted

    @rule()
    def tidy(self) -> None:
        while Retention(self.writer).step(self.time_ms):
            pass
        first = self.reader_first()
        kept = self.events if first is None else self.events[self.events.index(first) :]
        self.events = [] if first is None else kept
        limit = self.time_ms - self.bounds.max_age_ms - self.bounds.segment_ms
        assert all(known.time_ms >= limit for known in self.events)

    def reader_first(self) -> Known | None:
        page = self.reader.page(Question(limit=1, since_ms=0))
        while page is not None and not page.messages and page.newer is not None:
            page = self.reader.page(Question(limit=1, after=position(page.newer)))
        if page is None or not page.messages:
            return None
        return next(known for known in self.events if known.message == page.messages[0])

    @rule(
        order=st.sampled_from(["asc", "desc"]),
        limit=st.integers(1, 7),
        patterns=st.sampled_from([("*",), ("file.*",), ("git.*", "agent.*"), ()]),
        agent=st.sampled_from([None, "ada", "nobody"]),
        words=st.sampled_from(
            [(), ("red",), ("red", "green"), ("blue",), ("red green",), ("gr*",), ("r*", "gree*")]
        ),
        since=st.none() | st.integers(0, 3_000_000),
        until=st.none() | st.integers(0, 3_000_000),
    )
    def walk(
        self,
        order: str,
        limit: int,
        patterns: tuple[str, ...],
        agent: str | None,
        words: tuple[str, ...],
        since: int | None,
        until: int | None,
    ) -> None:
        """Page through everything: each event that fits exactly once, in order; holes are said."""
        event_filter = EventFilter(patterns)
        wanted = [
            known
            for known in self.events
            if event_filter.matches(known.type)
            and agent in (None, known.agent)
            and all(holds(known.words, word) for term in words for word in term.split())
            and (since is None or known.time_ms >= NOW_MS + since)
            and (until is None or known.time_ms < NOW_MS + until)
        ]
        if order == "desc":
            wanted.reverse()
        first = Question(
            limit=limit,
            order=order,
            event_filter=event_filter,
            agent=agent,
            words=words,
            since_ms=None if since is None else NOW_MS + since,
            until_ms=None if until is None else NOW_MS + until,
        )
        question, found, holes = first, [], set()
        beginning = self.reader.page(first)
        if beginning is not None and beginning.gap is None and wanted and not self.holes:
            assert beginning.messages, "the first page skips what does not fit"
        for _ in range(2000):
            page = self.reader.page(question)
            if page is None:
                assert not self.events
                break
            assert len(page.messages) <= limit
            found += page.messages
            if page.gap is not None:
                gap = page.gap
                holes |= {
                    (page.epoch, n)
                    for n in range(gap.from_sequence_number or 0, (gap.to_sequence_number or 0) + 1)
                }
            if words:
                assert page.matches == len(wanted)
            further = page.newer if order == "asc" else page.older
            if further is None:
                break
            changes = (
                {"after": position(further)} if order == "asc" else {"before": position(further)}
            )
            question = msgspec.structs.replace(first, **changes)
        else:
            raise AssertionError("the pages never end")
        assert found == [known.message for known in wanted]
        if order == "desc" and self.events:
            start = (self.events[0].epoch, self.events[0].number)
            behind = {
                h for h in self.holes if (int(h[0][1:]), h[1]) > (int(start[0][1:]), start[1])
            }
            assert behind <= holes


def position(text: str) -> Position:
    epoch, _, number = text.rpartition(":")
    return Position(int(number), epoch)


JournalMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestJournal = JournalMachine.TestCase
