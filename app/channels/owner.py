"""`Owner`: the event loop that a stream belongs to. Other calls are handed over or refused."""

import asyncio
import os
import weakref
from collections.abc import Callable
from threading import current_thread, get_ident

from ..errors import UnavailableError, WrongLoopError

FORKED = 0  # no thread has this identifier
_REMEDY = (
    "subscribe, consume and close on the gateway's event loop, for example in an `async def` handler;"
    " from another thread publish with `emit` or `publish_from_thread`,"
    " and from another process with POST /api/events"
)


class Owner:
    """Decides which calls may use a stream: those on its loop, or before `start` in its thread.

    The hot path only compares `get_ident()` with `thread`, which excludes other threads and forked
    children. Another loop can run in this thread only while ours does not; `is_here` checks that.
    """

    __slots__ = ("__weakref__", "_made_in", "loop", "thread")

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = get_ident()
        self._made_in = os.getpid()
        _owners.add(self)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Bind to this loop, which must be running in the calling thread."""
        self.loop = loop
        self.thread = get_ident()
        self._made_in = os.getpid()

    def is_here(self) -> bool:
        """Whether the caller may use the stream."""
        return get_ident() == self.thread and (self.loop is None or self.loop.is_running())

    def require_here(self) -> None:
        """Refuse a call from another place.

        Raises:
            WrongLoopError: says where the call came from, and what to do.
        """
        if not self.is_here():
            raise WrongLoopError(f"{self._where()}: {_REMEDY}")

    def hand_over(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the loop soon, whichever thread calls.

        Raises:
            WrongLoopError: this process was forked from the gateway's.
            UnavailableError: the gateway has not started, or its loop has ended.
        """
        if self.thread == FORKED:
            raise WrongLoopError(f"{self._where()}: {_REMEDY}")
        if self.loop is None:
            raise UnavailableError("the gateway has not started: publish once its lifespan began")
        try:
            self.loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop has been closed
            raise UnavailableError("the gateway has ended: nothing can be published") from None

    def _where(self) -> str:
        if self.thread == FORKED:
            return f"process {os.getpid()} was forked from {self._made_in}, where the gateway runs"
        if get_ident() != self.thread:
            return f"thread {current_thread().name!r} is not the thread of the gateway"
        return "the event loop of the gateway is not running here"


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def _forked() -> None:
    """Disable every owner in the child: it shares the sockets and must not write to them."""
    for owner in _owners:
        owner.thread = FORKED


getattr(os, "register_at_fork", lambda **_: None)(after_in_child=_forked)  # Windows has no fork
