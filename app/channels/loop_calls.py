"""`LoopCalls`: runs calls from other threads on the gateway's event loop, a bounded number."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

from ..errors import UnavailableError
from .owner import Owner

MAX_FROM_THREADS = 1000  # calls in flight
_Result = TypeVar("_Result")


class LoopCalls:
    """Calls of one thread keep their order. Each holds a place until its future is done."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._places = threading.BoundedSemaphore(MAX_FROM_THREADS)

    def submit(
        self, call: Callable[[], _Result | asyncio.Future[_Result]], wait_s: float = 0
    ) -> concurrent.futures.Future[_Result]:
        """Run `call` on the loop; the future is done when its result is, or has its error.

        `wait_s` is how long to wait for a place.

        Raises:
            UnavailableError: no place is free, or the loop does not run.
            WrongLoopError: this process was forked from the gateway's.
        """
        future: concurrent.futures.Future[_Result] = concurrent.futures.Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = call()
            except Exception as error:
                future.set_exception(error)
            else:
                if isinstance(result, asyncio.Future):
                    result.add_done_callback(lambda done: _copy(done, future))
                else:
                    future.set_result(result)

        self._schedule(run, future, wait_s)
        return future

    def run(self, coroutine: Coroutine[None, None, _Result]) -> concurrent.futures.Future[_Result]:
        """Run a coroutine on the loop; raises as `submit`, and closes the coroutine then."""
        future: concurrent.futures.Future[_Result] = concurrent.futures.Future()

        def run() -> None:
            task = asyncio.ensure_future(coroutine)
            task.add_done_callback(lambda done: _copy(done, future))

        try:
            self._schedule(run, future)
        except BaseException:
            coroutine.close()
            raise
        return future

    def _schedule(
        self,
        call: Callable[[], None],
        future: concurrent.futures.Future[_Result],
        wait_s: float = 0,
    ) -> None:
        if not self._places.acquire(timeout=wait_s):
            raise UnavailableError(
                f"{MAX_FROM_THREADS} publishes from threads are in flight: wait for their futures"
            )
        future.add_done_callback(lambda _: self._places.release())
        try:
            self._owner.hand_over(call)
        except BaseException:
            future.cancel()  # frees the place
            raise


def _copy(done: asyncio.Future[_Result], future: concurrent.futures.Future[_Result]) -> None:
    """Copy the result of a call on the loop to the future that another thread waits for."""
    if not done.cancelled():
        error = done.exception()
    else:
        error = UnavailableError("the gateway ended meanwhile: it may have been published")
    if future.cancelled():
        return  # the thread no longer waits
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())
