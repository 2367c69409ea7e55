"""`Sessions`: from events to the sessions of agents, their sub-agents and calls. Pure: no clock, no I/O.

Feed it every event with `apply`, and every gap with `lost`, in the order of the stream; `view(now)`
says how things stand. Agents report many ends not at all: no hook fires after Esc, after No in a
dialog, after an interruption or a kill. So the state of a call without a result is concluded from
what came later, and each state says why. A report that comes late corrects what was concluded.
"""

from sightline_client.sessions.evidence import find_agent, move
from sightline_client.sessions.fields import Data, moment, text
from sightline_client.sessions.overview import view_of
from sightline_client.sessions.spans import note_span
from sightline_client.sessions.state import ALARMS, Agent, Session
from sightline_client.sessions.steps import HANDLERS, NO_STATE
from sightline_client.sessions.view import View

__all__ = ["Sessions", "View"]
# Who reports a session: the later one counts, as all of them report the same steps. "" is a hook, or
# whoever else publishes; the others are signals of OpenTelemetry, which is reported late.
SOURCES = ("logs", "traces", "")
MAX_SESSIONS = 500  # what goes first is the one that has been quiet for longest


class Sessions:
    """The sessions that the events so far tell of."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._number = 0

    def apply(self, type: str, data: Data, timestamp: str, metadata: Data, number: int) -> None:
        """Take one event; an event that was taken before, by its number, changes nothing."""
        if number <= self._number:
            return
        self._number = number
        handler = HANDLERS.get(type)
        session_id = text(data, "session_id")
        if handler is None or session_id is None:
            return
        now = moment(timestamp)
        session = self._sessions.get(session_id)
        if session is None:
            self._make_room()
            whole = type in ("agent.session_started", "agent.turn_started")
            session = self._sessions[session_id] = Session(session_id, now, whole)
            session.agents[None] = Agent(None, session.tick())
        alarm = type == "agent.attention_needed" and text(data, "reason") in ALARMS
        if not alarm:  # an alarm is the gateway's: the agent gave no sign of life
            session.last = max(session.last, now)
            session.silence = None
        session.source = text(metadata, "agent") or text(metadata, "source") or session.source
        session.source = session.source or text(data, "agent_name")
        session.model = text(data, "model") or session.model
        session.folder = text(data, "folder") or session.folder
        if type in NO_STATE:
            handler(session, session.agents[None], data, now)
        else:
            signal = text(metadata, "otlp") or ""
            rank = SOURCES.index(signal if signal in SOURCES else "")
            session.rank = max(session.rank, rank)
            if rank < session.rank:  # the same steps again, and late
                return
            agent = find_agent(session, data, now)
            handler(session, agent, data, now)
            if SOURCES[rank] == "traces" and agent.id is not None and agent.turns == 0:
                agent.ended = now
                move(agent, "new", "its spans report calls, and no turn")
        if type != "agent.usage_reported":
            note_span(session, data)

    def lost(self, epoch_changed: bool = False) -> None:
        """Events were lost here: what is open now may have ended, and nobody would say so."""
        if epoch_changed:
            self._number = 0
        for session in self._sessions.values():
            session.gaps += 1
            session.whole = False
            for call in session.calls.values():
                call.whole = call.whole and call.outcome is not None

    def view(self, now: float) -> list[View]:
        """All sessions at `now`, in seconds since 1970: those that need a person first."""
        return view_of(self._sessions.values(), now)

    def _make_room(self) -> None:
        if len(self._sessions) >= MAX_SESSIONS:
            quiet = min(self._sessions.values(), key=lambda s: (s.ended is None, s.last))
            del self._sessions[quiet.id]
