"""`Translator`: the events of one agent session as AG-UI events. Pure: no clock, no I/O.

A run is a turn of the main agent. What happens outside of a turn is a run of its own, which goes on
while a sub-agent works. The same events always become the same AG-UI events, so a client that comes
back goes on exactly where it was: the state is made anew from the session's start.
"""

from datetime import datetime

from ...events import Position
from .fields import signal_rank
from .run import AguiEvent
from .steps import STEPS, other
from .thread import Message, Thread


class Translator:
    """Reads the events of one session in order; each becomes any number of AG-UI events."""

    def __init__(self, thread_id: str) -> None:
        self._thread = Thread(thread_id)
        self._rank = 0

    def translate(self, message: Message, epoch: str) -> list[AguiEvent]:
        """The AG-UI events of one event. Raises nothing, whatever the event holds."""
        thread = self._thread
        thread.position = f"{epoch}:{message.sequence_number}"
        thread.writer.begin(thread.position, _milliseconds(message.timestamp))
        step = STEPS.get(message.type)
        if step is not None:
            rank = signal_rank(message.metadata)
            if rank < self._rank:  # the same steps again, from a source that reports less
                return []
            self._rank = rank
        (step or other)(thread, thread.find_agent(message.data), message)
        thread.settle()
        return thread.writer.take()

    def lost(self, position: Position) -> list[AguiEvent]:
        """Events are missing after `position`: the open run ends, as its end may be among them."""
        writer = self._thread.writer
        writer.begin(f"{position.epoch}:{position.sequence_number}", None)
        if writer.open:
            writer.fail(*LOST)
        return writer.take()

    def forget_run(self) -> None:
        """The client has seen the end of its run."""
        self._thread.writer.forget()


LOST = ("Events of this session were lost.", "events_lost")


def is_end(event: AguiEvent) -> bool:
    """Whether only a new run may follow this event, and no other error."""
    return event["type"] == "RUN_ERROR"


def _milliseconds(timestamp: str) -> int | None:
    try:
        return round(datetime.fromisoformat(timestamp).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return None
