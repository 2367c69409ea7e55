"""`Waiters`: the publishers that wait until their event is on disk."""

import asyncio

from ..errors import JournalUnavailableError


class Waiters:
    """Waits of one loop, each for a number of the present epoch."""

    def __init__(self) -> None:
        self._numbers: dict[asyncio.Future[None], int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, number: int) -> asyncio.Future[None]:
        """A future that ends when `number` is settled; to be awaited once, with `wait`."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._numbers[waiter] = number
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
