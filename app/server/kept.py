"""uvicorn's HTTP protocol with one idle timer for each kept connection."""

import asyncio

from ..timers import Timer, cancel, set_timer
from .strict import StrictHTTPProtocol


class KeptHTTPProtocol(StrictHTTPProtocol):
    """Closes a connection that has waited for a request for uvicorn's `timeout_keep_alive`.

    Stock uvicorn sets a timer after each response and cancels it at the next request. Here, a timer
    that was set stays, and checks at its end how long the connection has been idle.
    """

    _idle_since: float | None = None  # the loop's time; None during a request
    _look: Timer | asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer, which would keep the connection in memory."""
        cancel(self._look)
        super().connection_lost(exc)

    def _unset_keepalive_if_required(self) -> None:
        """End the idle time; uvicorn calls this for all input."""
        self._idle_since = None

    def on_response_complete(self) -> None:
        """Start the next pipelined request; if there is none, the connection is idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._look is None:
            self._look = set_timer(self.loop, self.timeout_keep_alive, self._look_at_idle)

    def _look_at_idle(self) -> None:
        self._look = None
        if self._idle_since is None or self.transport.is_closing():
            return  # the timer is set again after the next response
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look = self.loop.call_later(left_s, self._look_at_idle)
        else:
            self.transport.close()
