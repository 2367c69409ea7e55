"""`Delivery`: brings events to one endpoint, one after another, with retries."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from ..events import Clock, Event, Gap
from ..metrics import Counters
from .attempts import GONE, Answer, pause_after
from .endpoint import Endpoint
from .message import Message, message_of

_log = structlog.get_logger("sightline.webhooks")


class Post(Protocol):
    """Makes one attempt."""

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Never raises but for cancellation."""

    async def close(self) -> None:
        """Close the connection."""


class Delivery:
    """The worker of one endpoint.

    Its events wait in a bounded queue of their own, which drops the oldest. A slow endpoint does not
    delay publishers or other endpoints. Its own later events wait while an attempt is repeated.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        poster: Post,
        keys: Sequence[bytes],
        clock: Clock,
        counters: Counters,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`name` is shown in logs and metrics; `jitter` gives numbers from 0 to 1."""
        self.name = name
        self._endpoint = endpoint
        self._poster = poster
        self._keys = keys
        self._clock = clock
        self._counters = counters
        self._jitter = jitter
        self._waiting: asyncio.Future[None] | None = None  # the pause between two attempts
        self._draining = False
        for counts in (counters.webhooks_delivered, counters.webhooks_failed):
            counts[name] = 0
        counters.webhooks_dropped[name] = 0

    async def run(self, events: AsyncIterator[Event | Gap], epoch: Callable[[], str]) -> None:
        """Deliver `events` until they end, or the endpoint answers 410.

        A gap among them counts as dropped. `epoch` is asked for each event.
        """
        try:
            async for item in events:
                if isinstance(item, Gap):
                    self.drop(item.dropped or 0, item.reason)
                    continue
                message = message_of(item, epoch(), slack=self._endpoint.slack)
                if not await self._deliver(item, message):
                    return
        finally:
            await self._poster.close()

    def drain(self) -> None:
        """Try each event that still waits once more, without a pause."""
        self._draining = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def drop(self, count: int, reason: str) -> None:
        """Count events that are not delivered, and log why."""
        self._counters.webhooks_dropped[self.name] += count
        _log.warning("webhook_dropped", endpoint=self.name, dropped=count, reason=reason)

    async def _deliver(self, event: Event, message: Message) -> bool:
        """Bring one event there; False if the endpoint wants no more."""
        attempt = 0
        while True:
            attempt += 1
            headers = message.headers(int(self._clock.wall()), self._keys)
            last = self._draining
            try:
                answer = await self._poster.post(headers, message.body)
            except asyncio.CancelledError:
                self.drop(1, "the shutdown")
                raise
            if answer.accepted:
                self._counters.webhooks_delivered[self.name] += 1
                return True
            pause_s = None if last else pause_after(attempt, answer, self._jitter)
            about = {"endpoint": self.name, "type": event.type, "attempt": attempt}
            about |= {"sequence_number": event.sequence_number, "reason": answer.reason}
            if pause_s is None:
                self._counters.webhooks_failed[self.name] += 1
                _log.error("webhook_failed", **about)
                return answer.status != GONE
            _log.info("webhook_attempt_failed", **about, again_in_s=round(pause_s, 1))
            await self._pause(pause_s)

    async def _pause(self, seconds: float) -> None:
        if self._draining:
            return
        waiting = self._waiting = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(
            seconds, lambda: None if waiting.done() else waiting.set_result(None)
        )
        try:
            await waiting
        finally:
            timer.cancel()
