"""`Outlet`: the only writer of a connection, for events and control messages alike."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from app.channels.subscription import Subscription
from app.events import Clock, Event, timestamp
from app.ws.messages import Heartbeat, encode

MAX_CONTROL = 512  # answers owed to a client that does not read them; over this it is closed


class Outlet:
    """Send a subscription's items and the control answers over ordinary ASGI sends, in one task."""

    def __init__(
        self,
        subscription: Subscription,
        send: Callable[[str], Awaitable[None]],
        clock: Clock,
        heartbeat_interval_s: float,
    ) -> None:
        self._subscription = subscription
        self._send = send
        self._clock = clock
        self._heartbeat_interval_s = heartbeat_interval_s
        self._control: deque[bytes] = deque()

    def answer(self, message: bytes) -> bool:
        """Queue a control message; False when the client owes us too much reading."""
        if len(self._control) >= MAX_CONTROL:
            return False
        self._control.append(message)
        self._subscription.wake()
        return True

    async def run(self) -> None:
        """Send until the subscription is closed; cancelling stops between two messages."""
        due = self._clock.monotonic() + self._heartbeat_interval_s
        while not self._subscription.closed:
            while self._control:
                await self._send(self._control.popleft().decode())
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + self._heartbeat_interval_s
                beat = Heartbeat(timestamp(self._clock.wall()), self._subscription.position)
                await self._send(encode(beat).decode())
                continue  # an answer or the close may have come meanwhile
            item = self._subscription.take()
            if item is not None:
                encoded = item.encoded if isinstance(item, Event) else msgspec.json.encode(item)
                await self._send(encoded.decode())
                continue
            try:
                async with asyncio.timeout(max(0.0, due - self._clock.monotonic())):
                    await self._subscription.wait()
            except TimeoutError:
                pass
