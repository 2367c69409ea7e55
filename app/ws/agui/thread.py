"""`Thread`: what is known of one agent session while it is translated to AG-UI. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from .fields import Data, arguments_of, text
from .run import RunWriter

MAX_AGENTS = 200
MAX_CALLS = 1_000  # that are remembered; what goes first is the oldest
INTERRUPTED: Data = {"outcome": "interrupted"}


class Message(msgspec.Struct, frozen=True):
    """An event of the gateway, decoded."""

    type: str
    timestamp: str
    sequence_number: int
    data: dict[str, object]
    metadata: dict[str, object]


@dataclass
class Agent:
    """A sub-agent."""

    name: str = "sub-agent"
    working: bool = False
    known: bool = False  # it worked before
    background: bool = False  # the call that began it has ended, so nothing waits for it
    parent: str | None = None
    call_id: str | None = None


@dataclass
class Call:
    """A tool call that was written."""

    agent: str | None
    tool_name: str
    answered: bool = False


class Thread:
    """The agents and calls of a session, and the writer of its runs."""

    def __init__(self, thread_id: str) -> None:
        self.writer = RunWriter(thread_id)
        self.position = ""  # of the event that is read, `epoch:number`
        self.working = False  # the main agent
        self.known = False  # the main agent worked before
        self.turn_id: str | None = None  # the last one
        self.adoptable = False  # the open run began without a turn
        self.agents: dict[str, Agent] = {}
        self.calls: dict[str, Call] = {}

    def open_run(self) -> None:
        """Begin a run if none is open, with the sub-agents that are at work."""
        if self.writer.full:
            self.writer.finish(None)
        if not self.writer.open:
            self.writer.start()
            self.adoptable = True
            for agent_id in self.at_work():
                self._show(agent_id)

    def settle(self) -> None:
        """End the run if nobody is at work."""
        if self.writer.open and not self.working and not self.at_work():
            self.writer.finish(None)

    def at_work(self) -> list[str]:
        """The sub-agents that are at work."""
        return [agent_id for agent_id, agent in self.agents.items() if agent.working]

    def find_agent(self, data: Data) -> str | None:
        """The sub-agent that an event names; None is the main agent, or one too many."""
        agent_id = text(data, "agent_id")
        if agent_id is None or (agent := self.remember(agent_id)) is None:
            return None
        agent.name = text(data, "agent_type") or text(data, "agent_name") or agent.name
        agent.parent = text(data, "parent_id") or agent.parent
        return agent_id

    def remember(self, agent_id: str) -> Agent | None:
        """The sub-agent with this id; None if too many are at work."""
        if agent_id not in self.agents and len(self.agents) >= MAX_AGENTS:
            ended = next((one for one, agent in self.agents.items() if not agent.working), None)
            if ended is None:
                return None
            del self.agents[ended]
        return self.agents.setdefault(agent_id, Agent())

    def work(self, agent_id: str | None, *, again: bool) -> None:
        """The agent does something, so it is at work; one that had ended only if `again`."""
        self.open_run()
        if agent_id is None:
            self.working = self.working or again or not self.known
            self.known = True
            return
        agent = self.agents[agent_id]
        if not agent.working and (again or not agent.known):
            agent.working = agent.known = True
            self._show(agent_id)

    def interrupt(self, agent_id: str, why: str) -> None:
        """End a sub-agent whose end nobody reported."""
        self.agents[agent_id].working = False
        self.end_calls(agent_id, "interrupted", why)
        self.writer.end_agent(agent_id, result=INTERRUPTED)

    def add_call(self, agent: str | None, data: Data, name: str) -> tuple[str, Call]:
        """Write a call; return its id and what is known of it."""
        call_id = call_id_of(data) or f"call-{self.position}"
        if len(self.calls) >= MAX_CALLS:
            del self.calls[next(iter(self.calls))]
        call = self.calls[call_id] = Call(agent, name)
        self.writer.call(agent, call_id, name, arguments_of(data))
        return call_id, call

    def find_call(self, agent: str | None, data: Data, name: str) -> tuple[str, Call] | None:
        """The call with this id; without an id, the oldest of this tool that has no result."""
        call_id = call_id_of(data)
        if call_id is not None:
            return (call_id, self.calls[call_id]) if call_id in self.calls else None
        for one, call in self.calls.items():
            if call.agent == agent and call.tool_name == name and not call.answered:
                return one, call
        return None

    def answer(self, call_id: str, call: Call, content: str, metadata: Data) -> None:
        """Write the result of a call."""
        call.answered = True
        self.writer.result(call.agent, call_id, content, metadata)

    def end_calls(self, agent: str | None, outcome: str, why: str) -> None:
        """Write a result for each call of an agent that has none, in an open run."""
        for call_id, call in self.calls.items():
            if call.agent == agent and not call.answered:
                self.answer(call_id, call, f"{outcome}: {why}", {"outcome": outcome})

    def _show(self, agent_id: str) -> None:
        agent = self.agents[agent_id]
        self.writer.start_agent(agent_id, agent.name, agent.parent, agent.call_id)


Step = Callable[[Thread, str | None, Message], None]


def call_id_of(data: Data) -> str | None:
    """The id that the agent gave to a call."""
    return text(data, "tool_use_id") or text(data, "call_id")
