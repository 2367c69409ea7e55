"""`Watch`: from the events of agents to the moments at which a session needs a person. Pure.

Hooks and adapters publish what an agent asks. What no agent reports is found here: that a session
failed, and that one has been silent while it worked. Each is raised once, until the next activity of
the session ends it.
"""

from collections.abc import Iterable

import msgspec

from .agents import Cause
from .reading import Metadata, decode, id_of, text
from .standing import ALARMS, HANDLERS, SILENT_AFTER_S, Standing

NO_STATE = ("agent.reported", "agent.usage_reported")  # signs of life that change no state
MAX_SESSIONS = 500  # the quietest is forgotten first
MAX_MESSAGE = 200
SILENT = (
    f"no event for {SILENT_AFTER_S / 60:g} minutes:"
    " it works on something long, was interrupted, or its process is gone"
)


class Alarm(msgspec.Struct, frozen=True):
    """A session needs a person, which nobody has reported. `epoch` and `number` are its cause's."""

    session_id: str
    reason: str
    message: str
    epoch: str
    number: int
    folder: str | None
    metadata: dict[str, str]


class Watch:
    """The sessions of agents, and the alarms that are due.

    Invariant: `_sessions` is in the order of `last`, the quietest first.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, Standing] = {}
        self._due: dict[str, Alarm] = {}  # by session; at most one each
        self._number = 0
        self.epoch = ""  # of the events that are taken

    def __len__(self) -> int:
        return len(self._sessions)

    def state(self, session_id: str) -> str | None:
        """The state of a session, without a look at silence; None if it is not known."""
        session = self._sessions.get(session_id)
        return None if session is None else session.state

    def take(self, type_: str, encoded: bytes, number: int, now: float) -> None:
        """Apply one event that happened at `now`. An event that was applied before is ignored."""
        if number <= self._number:
            return
        self._number = number
        if type_ not in HANDLERS and type_ not in NO_STATE:
            return
        contents = decode(encoded)
        data, metadata = contents.data, contents.metadata
        session_id = id_of(data.session_id)
        if session_id is None:
            return
        if type_ == "agent.attention_needed" and data.reason in ALARMS:
            self._raised(session_id, str(data.reason))
            return
        cause = Cause(self.epoch, number, id_of(metadata.publisher))
        session = self._heard(session_id, cause, now)
        if session.raised == "silent":
            self._end_alarm(session)
        session.folder = text(data.folder) or session.folder
        rank = metadata.rank
        if type_ not in NO_STATE and rank >= session.rank:  # others report the same again, and late
            session.rank = rank
            session.about = _source_of(metadata)
            session.take(type_, data, rank, now)
        self._judge(session)

    def _heard(self, session_id: str, cause: Cause, now: float) -> Standing:
        """The session, which is now the latest."""
        session = self._sessions.pop(session_id, None)
        if session is None:
            if len(self._sessions) >= MAX_SESSIONS:
                ended = (id_ for id_, one in self._sessions.items() if one.ended)
                self._forget(next(ended, next(iter(self._sessions))))
            session = Standing(session_id, now)
        self._sessions[session_id] = session
        session.last, session.last_cause = max(session.last, now), cause
        return session

    def _judge(self, session: Standing) -> None:
        """Raise or end the alarm of a failure."""
        failed = session.state == "failed"
        if failed and session.raised is None:
            session.raised = "failed"
            message = session.problem or "it reported an error"
            self._due[session.id] = self._alarm(session, "failed", message, session.failure)
        elif not failed and session.raised == "failed":
            self._end_alarm(session)

    def _raised(self, session_id: str, reason: str) -> None:
        """The alarm is in the stream: published by this gateway, another one, or anybody else."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.raised = reason
            self._due.pop(session_id, None)

    def _end_alarm(self, session: Standing) -> None:
        session.raised = None
        self._due.pop(session.id, None)

    def _alarm(self, session: Standing, reason: str, message: str, cause: Cause) -> Alarm:
        line = " ".join(message[: 4 * MAX_MESSAGE].split())
        line = line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
        about = dict(session.about)
        if cause.publisher is not None:  # it is this publisher's text, not the gateway's own
            about["publisher"] = cause.publisher
        place = (cause.epoch, cause.number)
        return Alarm(session.id, reason, line, *place, session.folder, about)

    def _forget(self, session_id: str) -> None:
        del self._sessions[session_id]
        self._due.pop(session_id, None)

    def begin(self, epoch: str) -> None:
        """Later events are of this epoch: their numbers begin again."""
        self.epoch, self._number = epoch, 0

    def due(self, now: float) -> Iterable[Alarm]:
        """The alarms to publish at `now`. Each stays due until it is in the stream or has ended."""
        for session in self._sessions.values():
            if now - session.last < SILENT_AFTER_S:
                break  # all others are later
            if _works(session):
                session.raised = "silent"
                self._due[session.id] = self._alarm(session, "silent", SILENT, session.last_cause)
        return tuple(self._due.values())

    def next_look(self) -> float | None:
        """The moment at which the next session would be silent; None if no session works."""
        for session in self._sessions.values():
            if _works(session):
                return session.last + SILENT_AFTER_S
        return None

    def settled(self, alarm: Alarm) -> None:
        """The alarm is published, or was refused for good."""
        if self._due.get(alarm.session_id) is alarm:
            del self._due[alarm.session_id]

    def repeats(self, session_id: str, reason: str) -> bool:
        """Whether a notification for this reason only repeats what the stream has reported."""
        session = self._sessions.get(session_id)
        if session is None or session.ended:
            return False
        if reason == "idle":
            return session.raised == "failed"
        return session.asked


def _works(session: Standing) -> bool:
    """Whether silence is worth an alarm: logs alone (rank 0) never report the end of a turn."""
    return session.raised is None and session.rank > 0 and session.state == "working"


def _source_of(metadata: Metadata) -> dict[str, str]:
    """What an alarm has in common with the events that it was concluded from."""
    about = {"source": metadata.source, "agent": metadata.agent, "otlp": metadata.otlp}
    return {key: value[:100] for key, value in about.items() if isinstance(value, str)}
