"""`Outbox`: the pending publishes, in order. Pure: no socket, `now` is an argument.

A publish is *waiting* until it is handed to NATS, *in flight* until NATS answers, and *stored*
until the bus has fanned it out, which resolves its future. Past its deadline it fails with an error
that names its state.
"""

from asyncio import Future
from collections import deque
from collections.abc import Callable

from ...errors import UnavailableError
from ...events import Event
from ..bus import Contents
from .message import encode_body

MAX_WAITING = 10_000  # publishes, and
MAX_WAITING_BYTES = 64 * 1024 * 1024  # their bodies: above either, a publish fails at once
MAX_IN_FLIGHT = 1024  # publishes, and
MAX_IN_FLIGHT_BYTES = 8 * 1024 * 1024  # their bodies, until the bus has fanned out the first
RETRY_S = 0.1  # pause after NATS answered that no stream takes messages, as during an election
MAYBE = (
    "it may have been published: publish again only if twice does no harm,"
    " or with the idempotency key that this attempt had"
)


class Publish:
    """One pending event."""

    __slots__ = (
        "body",
        "deadline",
        "future",
        "is_repeat",
        "key",
        "order",
        "refusal",
        "timestamp",
        "type",
    )

    def __init__(
        self, order: int, type_: str, timestamp: str, contents: Contents, key: str | None
    ) -> None:
        self.order = order  # of the calls of this gateway
        self.type = type_
        self.timestamp = timestamp
        self.body = encode_body(timestamp, contents)
        self.key = key
        self.is_repeat = False  # NATS had its key: an earlier attempt was stored
        self.refusal = ""  # the last refusal of NATS
        self.deadline = 0.0
        self.future: Future[Event]

    def is_kept_in(self, event: Event) -> bool:
        """Whether `event` is this one, or the earlier event with its key, as far as we can tell."""
        if self.is_repeat:
            return True
        contents = self.body.partition(b",")[2]  # after the timestamp, as in the event
        return (event.type, event.timestamp) == (self.type, self.timestamp) and (
            event.encoded.endswith(contents)
        )

    def resolve(self, event: Event) -> None:
        if not self.future.done():  # its caller may have been cancelled
            self.future.set_result(event)

    def fail(self, why: str) -> None:
        if not self.future.done():
            self.future.set_exception(UnavailableError(why))
            self.future.exception()  # marks it as retrieved: the caller may be gone


class Outbox:
    """The pending publishes of a gateway, bounded by count, bytes and time."""

    def __init__(self, wait_s: float, new_future: Callable[[], Future[Event]]) -> None:
        self.unknown = 0  # publishes that failed without a known outcome
        self._wait_s = wait_s
        self._new_future = new_future
        self._calls = 0
        self._waiting: deque[Publish] = deque()  # in order, not yet handed over
        self._waiting_bytes = 0
        self._in_flight: dict[int, Publish] = {}  # by order, not yet answered
        self._refused: list[Publish] = []  # certainly not stored; retried when nothing is in flight
        self._newest_stored = 0  # the highest order that NATS has stored
        self._resume_at = 0.0
        self._stored: dict[int, list[Publish]] = {}  # by number, not yet seen on the bus
        self._stored_count = 0
        self._in_flight_bytes = 0  # of those in flight and stored

    @property
    def waiting(self) -> int:
        """Publishes not yet handed to NATS."""
        return len(self._waiting) + len(self._refused)

    @property
    def in_flight(self) -> int:
        """Publishes that NATS has not answered, or the bus has not fanned out."""
        return len(self._in_flight) + self._stored_count

    def add(
        self, now: float, type_: str, timestamp: str, contents: Contents, key: str | None
    ) -> Future[Event]:
        """Queue an event; its future fails at once if there is no room."""
        self._calls += 1
        publish = Publish(self._calls, type_, timestamp, contents, key)
        publish.deadline = now + self._wait_s
        publish.future = self._new_future()
        if self.waiting >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            publish.fail(
                f"{self.waiting} events wait for NATS: it was not published;"
                " publish again later, or more slowly"
            )
        else:
            self._waiting.append(publish)
            self._waiting_bytes += len(publish.body)
        return publish.future

    def next(self, now: float) -> Publish | None:
        """Put the next publish in flight and return it; None if none may go now."""
        self._requeue_refused(now)
        if (
            self._refused
            or not self._waiting
            or now < self._resume_at
            or self.in_flight >= MAX_IN_FLIGHT
            or self._in_flight_bytes >= MAX_IN_FLIGHT_BYTES
        ):
            return None
        publish = self._waiting.popleft()
        self._waiting_bytes -= len(publish.body)
        self._in_flight[publish.order] = publish
        self._in_flight_bytes += len(publish.body)
        return publish

    def _requeue_refused(self, now: float) -> None:
        """Queue refused publishes again, in front, once nothing in flight could overtake them."""
        if not self._refused or self._in_flight:
            return
        for publish in sorted(self._refused, key=lambda refused: refused.order, reverse=True):
            if publish.order < self._newest_stored:
                publish.fail("NATS refused it but took a later event: it was not published")
            else:
                self._waiting.appendleft(publish)
                self._waiting_bytes += len(publish.body)
        self._refused.clear()
        self._resume_at = now + RETRY_S

    def answered(self, order: int) -> Publish | None:
        """Remove an answered publish from flight and return it; None if it has ended already."""
        publish = self._in_flight.pop(order, None)
        if publish is not None:
            self._in_flight_bytes -= len(publish.body)
        return publish

    def refuse(self, publish: Publish, why: str) -> None:
        """Keep for another attempt a publish that NATS did not store."""
        publish.refusal = why
        self._refused.append(publish)

    def store(self, publish: Publish, number: int, is_repeat: bool = False) -> None:
        """Keep a publish that NATS stored as `number` until the bus gets there."""
        publish.is_repeat = is_repeat
        self._newest_stored = max(self._newest_stored, publish.order)
        self._stored.setdefault(number, []).append(publish)
        self._stored_count += 1
        self._in_flight_bytes += len(publish.body)

    def seen(self, event: Event) -> None:
        """Resolve the publish of an event that the bus has just fanned out.

        After the stream was recreated or lost its end, its number may belong to another event.
        """
        number = event.sequence_number
        for publish in self._take_stored(number):
            if publish.is_kept_in(event):
                publish.resolve(event)
            else:
                self.unknown += 1
                publish.fail(f"NATS gave its number {number} to another event: {MAYBE}")

    def _take_stored(self, number: int) -> list[Publish]:
        taken = self._stored.pop(number, [])
        for publish in taken:
            self._stored_count -= 1
            self._in_flight_bytes -= len(publish.body)
        return taken

    def expire(self, now: float) -> None:
        """Fail publishes past their deadline, with an error that names their state."""
        self._requeue_refused(now)
        late = [publish for publish in self._refused if publish.deadline <= now]
        self._refused = [publish for publish in self._refused if publish.deadline > now]
        while self._waiting and self._waiting[0].deadline <= now:
            publish = self._waiting.popleft()
            self._waiting_bytes -= len(publish.body)
            late.append(publish)
        for publish in late:
            answer = f" (it said: {publish.refusal})" if publish.refusal else ""
            publish.fail(
                f"it waited {self._wait_s:g} s for NATS, which is away or too slow{answer}:"
                " it was not published"
            )
        for order, publish in list(self._in_flight.items()):
            if publish.deadline > now:
                break
            self.answered(order)
            self.unknown += 1
            publish.fail(f"NATS did not answer within {self._wait_s:g} s: {MAYBE}")
        for number, stored in list(self._stored.items()):
            if stored[0].deadline <= now:
                for publish in self._take_stored(number):
                    self.unknown += 1
                    publish.fail(
                        f"NATS stored it as number {number}, which did not come back to this"
                        f" gateway within {self._wait_s:g} s: {MAYBE}"
                    )

    def fail_stored(self, why: str) -> None:
        """Fail what waits for numbers of another incarnation, which will not come."""
        for number in tuple(self._stored):
            for publish in self._take_stored(number):
                self.unknown += 1
                publish.fail(f"{why}: {MAYBE}")

    def close(self, why: str) -> None:
        """Fail every publish."""
        for publish in (*self._waiting, *self._refused):
            publish.fail(f"{why}: it was not published")
        self.fail_stored(why)
        for publish in self._in_flight.values():
            publish.fail(f"{why}: {MAYBE}")
        self._waiting.clear()
        self._refused.clear()
        self._in_flight.clear()
        self._waiting_bytes = self._in_flight_bytes = 0
