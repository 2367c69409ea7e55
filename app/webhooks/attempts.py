"""What follows from the answer to an attempt: done, once more, or given up. Pure."""

from collections.abc import Callable

import msgspec

MAX_ATTEMPTS = 8
FIRST_PAUSE_S = 1.0  # before the second attempt; doubled after each, up to
LONGEST_PAUSE_S = 60.0
MAX_RETRY_AFTER_S = 300.0  # an endpoint may ask for a longer pause, up to this
GONE = 410


class Answer(msgspec.Struct, frozen=True):
    """The answer to one attempt. `status` is None if there was none, and `error` says why."""

    status: int | None = None
    error: str = ""
    retry_after_s: float = 0.0

    @property
    def accepted(self) -> bool:
        """Whether the endpoint has the event."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def reason(self) -> str:
        """Why the event was not accepted, in a few words."""
        return self.error or f"status {self.status}"


def pause_after(attempt: int, answer: Answer, random: Callable[[], float]) -> float | None:
    """The seconds until the next attempt; None if attempt number `attempt` was the last.

    The pause doubles, and half of it is at random, so that many gateways do not come back at once.
    """
    if attempt >= MAX_ATTEMPTS or answer.status == GONE:
        return None
    pause_s = min(FIRST_PAUSE_S * float(1 << (attempt - 1)), LONGEST_PAUSE_S)
    pause_s = pause_s / 2 + pause_s / 2 * random()
    return max(pause_s, min(answer.retry_after_s, MAX_RETRY_AFTER_S))


def retry_after(header: str) -> float:
    """The seconds that an endpoint asks for; 0 for a date or anything else."""
    return float(header) if header.isascii() and header.isdigit() and len(header) < 7 else 0.0
