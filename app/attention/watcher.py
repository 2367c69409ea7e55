"""`AttentionWatcher`: follows the agents on the bus, and publishes the alarms that are due.

On NATS every gateway follows the same events and finds the same alarms. The key of each alarm is the
position of its cause, so the stream stores the alarm once.
"""

import asyncio
from datetime import datetime

import structlog

from ..channels.bus import EventBus
from ..channels.filters import EventFilter
from ..channels.groups import subscribe_inside
from ..channels.publisher import EventPublisher
from ..channels.subscription import QueueBounds, Subscription
from ..errors import PublishError, UnavailableError
from ..events import Clock, Event, Timer
from ..ingest.hooks import AgentEvent
from ..journal.history import position_text
from ..journal.journal import Journal
from .past import recent_events
from .watch import Alarm, Watch

EVENTS = EventFilter(("agent.*",))
BOUNDS = QueueBounds(10_000, 16 * 1024 * 1024)
PART = 64  # events applied before the loop gets a turn
AGAIN_S = 5.0  # before an alarm is tried again that could not be published
_log = structlog.get_logger("sightline.attention")


class AttentionWatcher:
    """Watches the sessions of agents while `run` runs. Everything happens on the loop of the bus."""

    def __init__(
        self, bus: EventBus, publisher: EventPublisher, clock: Clock, journal: Journal | None
    ) -> None:
        self.watch = Watch()
        self._bus = bus
        self._publisher = publisher
        self._clock = clock
        self._journal = journal
        self._subscription: Subscription | None = None
        self._timer: Timer | None = None
        self._has_past = False
        self._idle = False

    @property
    def idle(self) -> bool:
        """Whether all events so far are applied, and nothing is being published."""
        return self._idle and self._subscription is not None and not self._subscription.owed

    async def run(self) -> None:
        """Follow the bus until cancelled. Events of the last hour are read from the journal first."""
        self._subscription = subscribe_inside(self._bus, EVENTS, BOUNDS)
        try:
            await self._read_past()
            while True:
                if self._catch_up(PART):
                    await asyncio.sleep(0)
                    continue
                again = await self._publish_due()
                self._look_again(again)
                self._idle = True
                await self._subscription.wait()
                self._idle = False
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._subscription.close()

    def settle(self, event: AgentEvent) -> AgentEvent:
        """The event to publish for one that a hook gave.

        A notification that repeats what the stream already has of the session becomes an
        `agent.reported`: each thing that a person is asked is one `agent.attention_needed`.
        """
        data, metadata = event.data, event.metadata
        if event.type != "agent.attention_needed" or metadata.get("hook") != "Notification":
            return event
        if self._has_past:
            self._catch_up(BOUNDS.events)
        session_id, reason = data.get("session_id"), data.get("reason")
        if not self.watch.repeats(str(session_id), str(reason)):
            return event
        kept = {key: value for key, value in data.items() if key not in ("agent_id", "agent_type")}
        return AgentEvent("agent.reported", {**kept, "kind": "Notification"}, metadata)

    async def _read_past(self) -> None:
        if self._journal is not None:
            now, wall = self._clock.monotonic(), self._clock.wall()
            past = await recent_events(self._journal, wall)
            for epoch, type_, timestamp, number, encoded in past:
                if epoch != self.watch.epoch:
                    self.watch.begin(epoch)
                age_s = max(wall - datetime.fromisoformat(timestamp).timestamp(), 0.0)
                self.watch.take(type_, encoded, number, now - age_s)
        if self.watch.epoch != self._bus.epoch:
            self.watch.begin(self._bus.epoch)
        self._has_past = True

    def _catch_up(self, most: int) -> bool:
        """Apply up to so many events that wait; False if none is left."""
        assert self._subscription is not None
        now = self._clock.monotonic()
        for _ in range(most):
            item = self._subscription.take()
            if item is None:
                return False
            if isinstance(item, Event):
                seen_at = min(item.accepted_at, now)
                self.watch.take(item.type, item.encoded, item.sequence_number, seen_at)
            else:
                _log.warning("attention_lost_events", reason=item.reason, dropped=item.dropped)
                if item.reason == "epoch_changed":
                    self.watch.begin(self._bus.epoch)
        return True

    async def _publish_due(self) -> bool:
        """Publish what is due; True if something has to be tried again."""
        again = False
        for alarm in self.watch.due(self._clock.monotonic()):
            try:
                await self._publish(alarm)
            except UnavailableError as error:
                _log.warning("attention_not_published", reason=alarm.reason, error=str(error))
                again = True
            except PublishError as error:
                _log.error("attention_refused", reason=alarm.reason, error=str(error))
                self.watch.settled(alarm)
            else:
                self.watch.settled(alarm)
        return again

    async def _publish(self, alarm: Alarm) -> None:
        cause = position_text(alarm.epoch, alarm.number)
        data: dict[str, object] = {
            "session_id": alarm.session_id,
            "reason": alarm.reason,
            "message": alarm.message,
        }
        if alarm.folder is not None:
            data["folder"] = alarm.folder
        await self._publisher.publish(
            "agent.attention_needed",
            data,
            {**alarm.metadata, "cause": cause},
            key=f"attention:{cause}:{alarm.reason}",
        )

    def _look_again(self, again: bool) -> None:
        """Set the timer for the next session that would be silent, or for the next attempt."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now, at = self._clock.monotonic(), self.watch.next_look()
        if again:
            at = min(at or now + AGAIN_S, now + AGAIN_S)
        if at is not None:
            assert self._subscription is not None
            self._timer = self._clock.call_later(max(at - now, 0.0), self._subscription.wake)
