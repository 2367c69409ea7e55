"""`Waiters`: the publishers that wait until their event is on disk."""

import asyncio

from ..errors import JournalUnavailableError

ANOTHER_STREAM = "another stream began"
GATHER_TURNS = 8  # of the loop, at most


class Waiters:
    """Waits of one loop, each for a number of the present epoch."""

    def __init__(self) -> None:
        self._numbers: dict[asyncio.Future[None], int] = {}
        self._events = self._turns = 0  # at the last `may_grow`, and how often it was true
        self._ended: str | None = None  # why nothing more is stored

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, number: int, newest: int) -> asyncio.Future[None]:
        """A future that ends when `number` is settled; to be awaited once, with `wait`.

        `newest` is the last number of the present epoch: a higher one is of an epoch before it.
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
        """Whether more may soon wait: this turn has brought further ones to the `events` to store.

        A commit costs as much as several events in it, so those of many publishers share one.
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
        """Wake every waiter, also those that come later: nothing more is stored, for this reason."""
        self._ended = reason
        self.settle(max(self._numbers.values(), default=0), reason)
