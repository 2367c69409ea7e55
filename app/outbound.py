"""Wires what the gateway itself does with its events: alarms about agents, and webhooks."""

import asyncio
from contextlib import suppress

import structlog

from .attention.watcher import AttentionWatcher
from .auth.access import AUDIT, EVERYTHING
from .channels.bus import EventBus
from .channels.filters import Bound, EventFilter
from .channels.groups import subscribe_inside
from .channels.publisher import EventPublisher
from .channels.subscription import QueueBounds, Subscription
from .errors import SettingsError
from .events import Clock
from .journal.journal import Journal
from .settings import Settings
from .sources.running import keep_running
from .webhooks.delivery import Delivery
from .webhooks.endpoint import Endpoint, endpoint_of, key_of

QUEUE = QueueBounds(1000, 16 * 1024 * 1024)  # what waits for one endpoint
DRAIN_S = 2.0  # for all endpoints, at a shutdown, which takes 5 s at most
_log = structlog.get_logger("sightline.webhooks")


class Outbound:
    """The watcher of agents and the worker of each webhook, from `start` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        bus: EventBus,
        publisher: EventPublisher,
        clock: Clock,
        journal: Journal | None,
    ) -> None:
        """Pure: no task and no connection yet.

        Raises:
            SettingsError: webhooks without a secret to sign them, or a URL that cannot be used.
        """
        self.attention = AttentionWatcher(bus, publisher, clock, journal)
        self._bus = bus
        self._watching: asyncio.Task[None] | None = None
        self.workers: dict[asyncio.Task[None], tuple[Delivery, Subscription]] = {}
        endpoints = [_endpoint(*entry) for entry in enumerate(settings.webhooks, 1)]
        if not settings.webhook_secret and not all(one.slack for one in endpoints):
            raise SettingsError(
                "SIGHTLINE_WEBHOOKS needs SIGHTLINE_WEBHOOK_SECRET, which signs what is sent:"
                " whsec_ and the output of `openssl rand -base64 32`"
            )
        keys = [key_of(secret) for secret in settings.webhook_secret]
        self._deliveries = [
            (endpoint, _delivery(number, endpoint, keys, clock, bus))
            for number, endpoint in enumerate(endpoints, 1)
        ]

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Follow the bus from the next event on."""
        self._watching = tasks.create_task(keep_running("attention", self.attention))
        for endpoint, delivery in self._deliveries:
            events = subscribe_inside(self._bus, _filter_of(endpoint), QUEUE)
            task = tasks.create_task(self._deliver(delivery, events))
            self.workers[task] = (delivery, events)

    async def _deliver(self, delivery: Delivery, events: Subscription) -> None:
        try:
            await delivery.run(events, lambda: self._bus.epoch)
        except Exception as error:
            _log.error("webhook_died", endpoint=delivery.name, exc_info=error)
        finally:
            ended_alone = not events.closed
            events.close()
            if len(events):
                delivery.drop(len(events), "the shutdown" if not ended_alone else "it ended")
            elif ended_alone:
                _log.error("webhook_ended", endpoint=delivery.name, remedy="restart the gateway")

    async def stop(self) -> None:
        """Stop watching; give the webhooks that wait a bounded time. Idempotent."""
        if self._watching is not None:
            self._watching.cancel()
        for delivery, events in self.workers.values():
            events.close()
            delivery.drain()
        if self.workers:
            await asyncio.wait(self.workers, timeout=DRAIN_S)
        for task in self.workers:
            task.cancel()
        for task in self.workers:
            with suppress(asyncio.CancelledError):
                await task
        self.workers.clear()


def _endpoint(number: int, entry: str) -> Endpoint:
    try:
        return endpoint_of(entry)
    except ValueError:
        raise _unusable(number) from None


def _filter_of(endpoint: Endpoint) -> EventFilter:
    """What the endpoint gets. Only admins read the audit, so a wildcard does not send it out."""
    hidden = frozenset((AUDIT,)).difference(endpoint.patterns)
    return EventFilter(endpoint.patterns, Bound(EVERYTHING, hidden))


def _unusable(number: int) -> SettingsError:
    return SettingsError(
        f"SIGHTLINE_WEBHOOKS: entry {number} (not shown) cannot be used;"
        " give patterns=https://HOST/PATH, such as agent.*=https://example.org/hook"
    )


def _delivery(
    number: int, endpoint: Endpoint, keys: list[bytes], clock: Clock, bus: EventBus
) -> Delivery:
    from .webhooks.http import Poster  # imports httpx, which only webhooks need

    name = f"{number}:{endpoint.host}"
    try:
        poster = Poster(endpoint)
    except Exception:
        raise _unusable(number) from None
    return Delivery(name, endpoint, poster, keys, clock, bus.counters)
