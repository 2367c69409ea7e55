"""`Standing`: how one session of an agent stands, as the sessions' reducers of the clients see it. Pure.

It holds only what decides the session's state, so that the gateway can follow many sessions.
`tests/attention` holds it to the clients' reducer, on every recorded session.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from .agents import Agent, Call, Cause
from .reading import Data, id_of, text

SILENT_AFTER_S = 600.0  # as in the clients' reducers: a single command may well take so long
START_GRACE_S = 10.0  # by so much the report of a start may come late
MAX_AGENTS = 200  # of one session
MAX_CALLS = 200  # of one session, open or ended
_NO_RESTART = ("startup", "fork", "clear", "compact")  # each has a new id, or goes on
ALARMS = ("failed", "silent")  # reasons that the gateway itself finds; all others are questions


@dataclass(slots=True)
class Standing:
    """One session. Moments are seconds of one clock.

    `raised` is the alarm that was reported and not yet ended: `failed`, `silent` or None.
    """

    id: str
    last: float
    rank: int = 0
    ended: bool = False
    raised: str | None = None
    last_cause: Cause = field(default_factory=Cause)  # the last event
    about: dict[str, str] = field(default_factory=dict)  # metadata of its alarms
    folder: str | None = None
    problem: str | None = None  # what the last error said
    failure: Cause = field(default_factory=Cause)  # the last error
    agents: dict[str | None, Agent] = field(default_factory=lambda: {None: Agent(None)})
    calls: dict[str, Call] = field(default_factory=dict)  # open, by id
    done: dict[str, None] = field(default_factory=dict)  # ids of calls that have ended
    unnamed: int = 0  # calls without an id

    @property
    def asked(self) -> bool:
        """Whether a person is asked something."""
        if self.ended:
            return False
        return any(one.asks for one in self.agents.values()) or any(
            call.asked for call in self.calls.values()
        )

    @property
    def state(self) -> str:
        """The state: working, waiting, idle, failed or finished; silence is not looked at."""
        main_failed = self.agents[None].state == "failed"
        if self.ended:
            return "failed" if main_failed else "finished"
        if self.asked:
            return "waiting"
        if any(agent.state == "working" for agent in self.agents.values()):
            return "working"
        return "failed" if main_failed else "idle"

    def take(self, type_: str, data: Data, rank: int, now: float) -> None:
        """Apply an event of a type in `HANDLERS`."""
        agent = self._find_agent(data)
        HANDLERS[type_](self, agent, data, now)
        if rank == 1 and agent.id is not None and agent.turns == 0:
            agent.state = "new"  # its spans report calls, and no turn

    def _find_agent(self, data: Data) -> Agent:
        agent_id = id_of(data.agent_id)
        agent = self.agents.get(agent_id)
        if agent is None:
            if len(self.agents) >= MAX_AGENTS:
                return self.agents[None]
            agent = self.agents[agent_id] = Agent(agent_id)
        return agent

    def _session_started(self, agent: Agent, data: Data, now: float) -> None:
        if agent.state == "new":
            agent.state = "idle"
        elif data.reason in _NO_RESTART:
            return
        elif self.ended:
            self.ended, agent.state = False, "idle"
        elif agent.turn_started is None or agent.turn_started < now - START_GRACE_S:
            agent.state = "idle"
            for other in self.agents.values():
                if other.turn_started is None or other.turn_started < now - START_GRACE_S:
                    self._end_calls(other, before=now - START_GRACE_S)
                    self._end_child(other)

    def _turn_started(self, agent: Agent, data: Data, now: float) -> None:
        self.ended = False
        agent.turns += 1
        agent.turn_started, agent.asks, agent.state = now, None, "working"
        if agent.id is None:
            self._end_calls(agent, with_children=True)

    def _turn_finished(self, agent: Agent, data: Data, now: float) -> None:
        self._end_calls(agent, with_children=data.outcome == "interrupted")
        agent.asks = None
        agent.state = "idle" if agent.id is None else "finished"

    def _tool_called(self, agent: Agent, data: Data, now: float) -> None:
        call_id = id_of(data.tool_use_id) or id_of(data.call_id)
        if call_id in self.calls:
            return
        asks, agent.asks = agent.asks, None
        if call_id is None:
            self.unnamed += 1
            call_id = f"#{self.unnamed}"
        elif call_id in self.done:
            return
        if len(self.calls) >= MAX_CALLS:
            del self.calls[next(iter(self.calls))]
        tool_name = text(data.tool_name) or "unknown"
        call = Call(agent.id, tool_name, text(data.summary), now, data.spawns_agent is True)
        call.asked = asks is not None and asks[0] == tool_name  # the question overtook the call
        self.calls[call_id] = call
        self.ended, agent.state = False, "working"

    def _tool_finished(self, agent: Agent, data: Data, now: float) -> None:
        call_id = id_of(data.tool_use_id) or id_of(data.call_id)
        if call_id is None:
            same = (
                id_
                for id_, call in self.calls.items()
                if (call.agent_id, call.tool_name) == (agent.id, text(data.tool_name))
            )
            call_id = next(same, None)
        self._end(call_id)
        agent.asks = None
        child = self.agents.get(id_of(data.child_id) or "")
        if child is not None:
            child.background = True
        if agent.state == "new":
            agent.state = "working"

    def _batch_finished(self, agent: Agent, data: Data, now: float) -> None:
        agent.asks = None
        for entry in data.calls if isinstance(data.calls, list) else []:
            if isinstance(entry, dict):
                self._end(id_of(entry.get("tool_use_id")))
        if agent.state == "new":
            agent.state = "working"

    def _attention(self, agent: Agent, data: Data, now: float) -> None:
        if data.reason == "idle":
            if agent.state == "working":
                self._end_calls(agent, with_children=True)
                agent.state = "idle"
            return
        tool_name, summary = text(data.tool_name), text(data.summary)
        if tool_name is None:
            if not self.asked:
                agent.asks = (None, None)
            return
        named = self.calls.get(id_of(data.tool_use_id) or "")
        calls = [named] if named else [c for c in self.calls.values() if c.agent_id == agent.id]
        running = [call for call in calls if call.tool_name == tool_name and not call.asked]
        alike = [call for call in running if call.summary == summary] or running[-1:]
        if alike:
            alike[0].asked = True
        elif not self._is_asked(tool_name, summary):
            agent.asks = (tool_name, summary)

    def _is_asked(self, tool_name: str, summary: str | None) -> bool:
        return any(one.asks == (tool_name, summary) for one in self.agents.values()) or any(
            call.asked and (call.tool_name, call.summary) == (tool_name, summary)
            for call in self.calls.values()
        )

    def _error(self, agent: Agent, data: Data, now: float) -> None:
        self._end_calls(agent)
        agent.asks, agent.state = None, "failed"
        if agent.id is None:
            self.problem = text(data.message) or text(data.error)
            self.failure = self.last_cause

    def _message(self, agent: Agent, data: Data, now: float) -> None:
        if agent.state == "new":
            agent.state = "working"

    def _session_finished(self, agent: Agent, data: Data, now: float) -> None:
        self.ended = True
        for other in self.agents.values():
            self._end_calls(other)
            self._end_child(other)
            other.asks = None
        main = self.agents[None]
        if main.state != "failed":
            main.state = "idle"

    def _end(self, call_id: str | None) -> None:
        if call_id is None:
            return
        self.calls.pop(call_id, None)
        self.done[call_id] = None
        if len(self.done) > MAX_CALLS:
            del self.done[next(iter(self.done))]

    def _end_calls(
        self, agent: Agent, *, with_children: bool = False, before: float | None = None
    ) -> None:
        """End the agent's open calls, and the sub-agents that run in the foreground of them."""
        ended = {
            id_: call
            for id_, call in self.calls.items()
            if call.agent_id == agent.id and (before is None or call.started < before)
        }
        for id_ in ended:
            self._end(id_)
        if not with_children:
            return
        spawned = sum(call.spawns for call in ended.values())
        in_front = [c for c in self.agents.values() if c.state == "working" and not c.background]
        # Which call began which sub-agent is not reported while it runs.
        for child in islice((one for one in in_front if one.id != agent.id), spawned):
            self._end_child(child)

    def _end_child(self, agent: Agent) -> None:
        if agent.id is not None and agent.state in ("new", "working"):
            agent.state, agent.asks = "finished", None
            self._end_calls(agent, with_children=True)


HANDLERS: dict[str, Callable[[Standing, Agent, Data, float], None]] = {
    "agent.session_started": Standing._session_started,
    "agent.turn_started": Standing._turn_started,
    "agent.turn_finished": Standing._turn_finished,
    "agent.tool_called": Standing._tool_called,
    "agent.tool_finished": Standing._tool_finished,
    "agent.batch_finished": Standing._batch_finished,
    "agent.attention_needed": Standing._attention,
    "agent.error": Standing._error,
    "agent.message": Standing._message,
    "agent.session_finished": Standing._session_finished,
}
