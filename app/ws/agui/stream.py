"""`ThreadStream`: the AG-UI events of a session with their ids, from behind a client's id on. Pure."""

from ...events import Position
from .ids import EventId, ids_of
from .run import AguiEvent
from .thread import Message
from .translator import LOST, Translator, is_end

Numbered = list[tuple[str, AguiEvent]]


class ThreadStream:
    """Translates a session from its start, and returns what follows the client's last id.

    A client goes on exactly where it was if nothing is missing up to there. Otherwise its run ends
    with a `RUN_ERROR`, after which any run may begin.
    """

    def __init__(self, thread_id: str, behind: EventId | None, *, whole: bool) -> None:
        """`whole`: no event was deleted before the first one that is read."""
        self._thread_id = thread_id
        self._translator = Translator(thread_id)
        self._seeking = behind
        self._met = False  # an event of the epoch that is sought
        self._exact = whole
        self._first = True

    def event(self, epoch: str, message: Message) -> Numbered:
        """What the client gets of the next event of the session."""
        if self._first:
            self._first = False
            self._exact = self._exact or message.type == "agent.session_started"
        position, sought = Position(message.sequence_number, epoch), self._seeking
        if sought is None or self._is_before(position, sought.position):
            written = self._translate(epoch, message)
            return written if sought is None else []
        if position != sought.position:
            return [*self._go_on(), *self._translate(epoch, message)]
        written = self._translate(epoch, message)
        if not self._exact or sought.ended:
            return self._go_on()
        self._seeking = None
        return [] if sought.index is None else written[sought.index :]

    def lost(self, position: Position) -> Numbered:
        """Events are missing after `position`."""
        self._exact = False
        written = self._translator.lost(position)
        (id_,) = ids_of(position, 1, ended=True)
        return [] if self._seeking else [(id_, event) for event in written]

    def end_of_history(self) -> Numbered | None:
        """What the client gets if its id was not found; None: read everything again, all is new."""
        if self._seeking is None:
            return []
        if self._met:
            return self._go_on()
        return None

    def begin_again(self) -> Numbered:
        """Begin at the session's start, as nothing of the client's epoch is known."""
        written = self._go_on()
        self._translator, self._first = Translator(self._thread_id), True
        return written

    def _is_before(self, position: Position, sought: Position) -> bool:
        if position.epoch != sought.epoch:
            return not self._met
        self._met = True
        return position.sequence_number < sought.sequence_number

    def _go_on(self) -> Numbered:
        """Stop seeking at a client whose run is over, or end it."""
        assert self._seeking is not None
        sought, self._seeking = self._seeking, None
        self._translator.forget_run()
        message, code = LOST
        error: AguiEvent = {"type": "RUN_ERROR", "message": message, "code": code}
        return [] if sought.ended else [(ids_of(sought.position, 1, ended=True)[0], error)]

    def _translate(self, epoch: str, message: Message) -> Numbered:
        written = self._translator.translate(message, epoch)
        if not written:
            return []
        position = Position(message.sequence_number, epoch)
        ids = ids_of(position, len(written), ended=is_end(written[-1]))
        return list(zip(ids, written, strict=True))
