"""`Turnstile`: starts unauthenticated requests a few at a time, to leave time for the others."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable


class Turnstile:
    """Starts the newest and the oldest waiting request in each turn of the loop.

    A request takes about a millisecond, and an idle loop has thousands of turns a second. In a flood,
    the clients of the oldest requests have often disconnected, so the newest one is started too;
    without the oldest one, some requests would wait for ever.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[object, Callable[[], None]] = OrderedDict()

    def admit(self, client: object, start: Callable[[], None]) -> None:
        """Call `start` soon, instead of the client's earlier `start`; `start` must not raise."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        self._waiting[client] = start

    def leave(self, client: object) -> None:
        """Do not start the client's request."""
        self._waiting.pop(client, None)

    def __contains__(self, client: object) -> bool:
        return client in self._waiting

    def _turn(self) -> None:
        for newest in (True, False):
            if self._waiting:
                _, start = self._waiting.popitem(last=newest)
                start()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
