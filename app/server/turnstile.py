"""`Turnstile`: what strangers ask for begins a little at a time, so that others have their turn."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable


class Turnstile:
    """In one turn of the loop, the newest of those who wait may begin, and the oldest.

    Each takes about a millisecond, and an idle loop has thousands of turns a second. Under a flood the
    oldest have often gone, or make room soon; without them, some would wait for ever.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[object, Callable[[], None]] = OrderedDict()

    def admit(self, who: object, start: Callable[[], None]) -> None:
        """Call `start` soon, in place of what else was to begin for them; it must not fail."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        self._waiting[who] = start

    def leave(self, who: object) -> None:
        """Begin nothing for them any more."""
        self._waiting.pop(who, None)

    def __contains__(self, who: object) -> bool:
        return who in self._waiting

    def _turn(self) -> None:
        for newest in (True, False):
            if self._waiting:
                _, start = self._waiting.popitem(last=newest)
                start()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
