"""What a stream hands out with `backfill`, against a model of the gateway, its journal and its crashes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st
from sightline_client import Event, Gap, Position
from sightline_client.backfill import TRIES, Outbox
from sightline_client.core import Core
from sightline_client.errors import RefusedError, UnreachableError
from sightline_client.inbox import Inbox
from sightline_client.pages import Page, Paging, position_in, query_of

from tests.kit.examples import up_to

from .test_core import connected, event, gap


class Model:
    """A gateway that retains three events, and keeps all of every epoch in its journal, or less.

    The data of an event are its epoch and number, so that a consumer can tell them apart.
    """

    def __init__(self) -> None:
        self.epochs: list[tuple[str, int]] = [("e0", 0)]  # and the newest number of each
        self.lost: set[tuple[str, int]] = set()  # never stored
        self.pruned = 0  # this many of the oldest numbers of the oldest epoch are deleted

    @property
    def epoch(self) -> str:
        return self.epochs[-1][0]

    @property
    def head(self) -> int:
        return self.epochs[-1][1]

    def publish(self, count: int) -> list[int]:
        first = self.head + 1
        self.epochs[-1] = (self.epoch, self.head + count)
        return [*range(first, first + count)]

    def crash(self) -> None:
        self.epochs.append((f"e{len(self.epochs)}", 0))

    def join(self, position: Position) -> list[str]:
        """`connected`, the gaps and what is retained, as a gateway sends it."""
        texts = [connected(self.epoch, self.head)]
        number = position.sequence_number
        if position.epoch != self.epoch:
            texts.append(gap("epoch_changed"))
            number = 0
        first = max(number, self.head - 3) + 1
        if first > number + 1:
            texts.append(gap("expired", number + 1, first - 1))
        return texts + [self.text(n) for n in range(first, self.head + 1)]

    def text(self, number: int, epoch: str | None = None) -> str:
        return event(number).replace('"data": {}', f'"data": {{"e": "{epoch or self.epoch}"}}')

    def page(self, query: dict[str, str]) -> Page:
        """Up to `limit` events of one epoch; a page ends before a hole, and begins behind one."""
        after = position_in(query["after"])
        index = [name for name, _ in self.epochs].index(str(after.epoch))
        name, head = self.epochs[index]
        number, first_kept = after.sequence_number, self.pruned if name == "e0" else 0
        found: Gap | None = None
        while number < head and (number < first_kept or (name, number + 1) in self.lost):
            number += 1
            reason = "expired" if number <= first_kept else "not_stored"
            found = Gap(after.sequence_number + 1, number, None, reason)
        numbers: list[int] = []
        while number < head and len(numbers) < int(query["limit"]) and len(numbers) < 4:
            if (name, number + 1) in self.lost:
                break
            number += 1
            numbers.append(number)
        newer = f"{name}:{number}" if number < head else None
        # A page leads past epochs that have no event.
        behind = [name for name, head in self.epochs[index + 1 :] if head or name == self.epoch]
        if newer is None and behind:
            newer = f"{behind[0]}:0"
        raw = [msgspec.Raw(self.text(n, name).encode()) for n in numbers]
        return Page(name, raw, number, found, newer=newer)


class Client:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.core = Core("c", position=Position(0, "e0"))
        self.inbox = Inbox(4)
        self.outbox = Outbox(self.core, self.inbox, backfill=True)
        self.online = False
        self.items: list[Event | Gap] = []

    def receive(self, texts: list[str]) -> None:
        for text in texts:
            if (entry := self.core.read(text)) is not None:
                self.inbox.put(entry)

    def connect(self) -> None:
        received = self.core.parameters
        position = Position(int(received["last_sequence_number"]), received["epoch"])
        first, *rest = self.model.join(position)
        self.core.begin(first)
        self.receive(rest)
        self.online = True

    def consume(self, steps: int) -> None:
        """Ask for items or pages, so many times."""
        for _ in range(steps):
            self.core.processed()
            if (item := self.outbox.take()) is not None:
                self.items.append(item)
            elif (query := self.outbox.query) is not None:
                self.outbox.read(self.model.page(query), 0)
            else:
                return


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 9)),
        st.tuples(st.just("consume"), st.integers(1, 9)),
        st.tuples(st.just("prune"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["cut", "crash", "lose"]), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=up_to(300))
@given(STEPS)
@example([("publish", 2), ("crash", 0), ("crash", 0), ("publish", 2)])  # a page leads further
# The position is in an epoch that has no event.
@example([*[("crash", 0), ("publish", 1)] * 2, ("crash", 0), ("publish", 4)])
# What a fill could read beyond its end has arrived: it must not be handed out twice.
@example([("publish", 1), ("crash", 0), ("crash", 0), ("publish", 1), ("crash", 0)])
def test_whatever_happens_each_event_comes_once_in_order_or_in_a_gap(
    steps: list[tuple[str, int]],
) -> None:
    model = Model()
    client = Client(model)
    client.connect()
    for what, count in steps:
        match what:
            case "publish":
                numbers = model.publish(count)
                if client.online:
                    client.receive([model.text(number) for number in numbers])
            case "consume":
                client.consume(count)
            case "prune":
                model.pruned = min(model.pruned + count, model.epochs[0][1])
            case "lose":
                model.lost.add((model.epoch, model.head))
            case "crash":
                model.crash()
                client.online = False
            case "cut":
                client.online = False
        if not client.online and what != "publish":
            client.connect()
    if not client.online:
        client.connect()
    client.consume(10_000)
    check(client, model)


def check(client: Client, model: Model) -> None:
    names = [name for name, _ in model.epochs]
    index, number, changed = 0, 0, False
    for item in client.items:
        if isinstance(item, Gap) and item.reason == "epoch_changed":
            changed = True
            continue
        first = item.sequence_number if isinstance(item, Event) else item.from_sequence_number
        if first != number + 1:  # only an `epoch_changed` leads to another epoch
            assert (changed, first) == (True, 1), client.items
        if isinstance(item, Event):
            assert names.index(str(item.fields["e"])) >= index, client.items
            index, number = names.index(str(item.fields["e"])), item.sequence_number
        else:
            assert item.reason in ("expired", "not_stored"), item
            assert item.to_sequence_number is not None
            number = item.to_sequence_number
        changed = False
    assert client.core.position == Position(model.head, model.epoch)
    events = [item for item in client.items if isinstance(item, Event)]
    heard = {(item.fields["e"], item.sequence_number) for item in events}
    assert len(heard) == len(events), client.items
    gone = model.lost | {("e0", number) for number in range(1, model.pruned + 1)}
    published = {(name, n) for name, head in model.epochs for n in range(1, head + 1)}
    assert published - gone <= heard, client.items


def joined() -> tuple[Core, Outbox]:
    core, inbox = Core("c", position=Position(2, "e")), Inbox()
    core.begin(connected("e", 20))
    for text in (gap("expired", 3, 9), event(10)):
        entry = core.read(text)
        assert entry is not None
        inbox.put(entry)
    return core, Outbox(core, inbox, backfill=True)


def page(numbers: list[int], **fields: Any) -> Page:
    raw = [msgspec.Raw(event(number).encode()) for number in numbers]
    return Page("e", raw, numbers[-1] if numbers else 0, **fields)


def test_what_cannot_be_filled_stays_a_gap_and_live_goes_on() -> None:
    _, outbox = joined()
    assert outbox.take() is None
    assert outbox.query == {"after": "e:2", "limit": "7"}
    outbox.failed(RefusedError("no", 400, "bad_request"), 0)
    assert outbox.take() == Gap(3, 9, None, "expired")
    assert isinstance(outbox.take(), Event)


def test_a_position_that_the_history_does_not_know_stays_a_gap() -> None:
    _, outbox = joined()
    assert outbox.take() is None
    raw = [msgspec.Raw(event(1).encode())]
    outbox.read(Page("other", raw, 1, Gap(None, None, None, "epoch_changed")), 0)
    assert outbox.take() == Gap(3, 9, None, "expired")
    assert isinstance(outbox.take(), Event)


def test_the_rest_of_a_gap_that_is_filled_in_part_stays_a_gap() -> None:
    _, outbox = joined()
    assert outbox.take() is None
    outbox.read(page([3, 4, 5], newer="e:5"), 0)
    for _ in range(TRIES):
        assert outbox.failed(UnreachableError("no"), 1) > 0
        assert outbox.query is not None
    outbox.failed(UnreachableError("no"), 1)
    found = [outbox.take() for _ in range(5)]
    assert [getattr(item, "sequence_number", item) for item in found] == [
        3, 4, 5, Gap(6, 9, None, "expired"), 10
    ]  # fmt: skip


def test_a_new_epoch_comes_as_a_gap_behind_all_of_the_old_one() -> None:
    core, inbox = Core("c", position=Position(2, "e")), Inbox()
    core.begin(connected("new", 1))
    for text in (gap("epoch_changed"), event(1)):
        entry = core.read(text)
        assert entry is not None
        inbox.put(entry)
    outbox = Outbox(core, inbox, backfill=True)
    assert outbox.take() is None
    outbox.read(page([3, 4], newer="new:0"), 0)
    found = [outbox.take() for _ in range(5)]
    assert [getattr(item, "sequence_number", item) for item in found] == [
        3, 4, Gap(None, None, None, "epoch_changed"), 1, None
    ]  # fmt: skip


def test_pages_follow_each_other_to_the_end_and_an_epoch_is_parted_by_a_gap() -> None:
    paging = Paging(query_of(since="2h", limit=2))
    assert paging.query == {"since": "2h", "limit": "2"}
    assert len([*paging.read(page([1, 2], newer="e:2", matches=9))]) == 2
    assert paging.query is not None
    assert (paging.query["after"], paging.matches) == ("e:2", 9)
    raw = [msgspec.Raw(event(1).encode())]
    items = [*paging.read(Page("new", raw, 1))]
    assert [getattr(item, "reason", "") for item in items] == ["epoch_changed", ""]
    assert [*paging.read(Page("new", [], 1))] == []
    assert (paging.query, paging.position) == (None, Position(1, "new"))


@pytest.mark.parametrize("bad", ["", "1", "e:", "e:x", ":1"])
def test_a_page_that_names_no_position_is_refused(bad: str) -> None:
    with pytest.raises(Exception, match=r"not a position of events\.v1"):
        position_in(bad)


def test_a_message_that_cannot_be_decoded_is_a_gap_in_its_place() -> None:
    broken = json.dumps({"type": "a.b", "timestamp": "t", "sequence_number": 2, "data": 1})
    raw = [msgspec.Raw(text.encode()) for text in (event(1), broken.replace(" ", ""), event(3))]
    kinds = [type(entry.item) for entry in Page("e", raw, 3).entries()]
    assert kinds == [Event, Gap, Event]
