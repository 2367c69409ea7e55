"""`Waiters`: the publishers that wait until their event is on disk."""

import asyncio

from ..errors import JournalUnavailableError

ANOTHER_STREAM = "another stream began"
GATHER_TURNS = 8  # of the loop: how long `may_grow` is true at most


class Waiters:
    """Waits of one loop, each for a number of the present epoch."""

    def __init__(self) -> None:
        self._numbers: dict[asyncio.Future[None], int] = {}
        self._events = self._turns = 0  # at the last `may_grow`, and how often in a row it was true
        self._ended: str | None = None  # why nothing more is stored

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, number: int, newest: int) -> asyncio.Future[None]:
        """A future that ends when `number` is settled; await it once, with `wait`.

        `newest` is the last number of the present epoch. A higher `number` belongs to an earlier one,
        so its wait fails at once.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._numbers[waiter] = number
        if number > newest or self._ended is not None:
            self.settle(number, self._ended or ANOTHER_STREAM)
        return waiter

    async def wait(self, waiter: asyncio.Future[None]) -> None:
        """Wait for a future of `add`; cancelling forgets it.

        Raises:
            JournalUnavailableError: the event cannot be stored.
        """
        try:
            await waiter
        finally:
            self._numbers.pop(waiter, None)

    def may_grow(self, events: int) -> bool:
        """Whether to gather for another turn: publishers wait, and this turn brought more events.

        `events` is the number gathered so far. A commit costs as much as several events in it, so the
        events of many publishers share one. Call it once a turn: it counts the turns.
        """
        further = bool(self._numbers) and events > self._events and self._turns < GATHER_TURNS
        self._events, self._turns = (events, self._turns + 1) if further else (0, 0)
        return further

    def settle(self, number: int, reason: str | None) -> None:
        """Wake the waiters up to `number`: it is stored, or `reason` says why not."""
        for waiter in [waiter for waiter, one in self._numbers.items() if one <= number]:
            del self._numbers[waiter]
            if waiter.cancelled():
                continue
            if reason is None:
                waiter.set_result(None)
            else:
                text = f"the event went out live, and is not in the journal: {reason}"
                waiter.set_exception(JournalUnavailableError(text))

    def end(self, reason: str) -> None:
        """Fail every waiter, also those added later: nothing more is stored, for this reason."""
        self._ended = reason
        self.settle(max(self._numbers.values(), default=0), reason)
