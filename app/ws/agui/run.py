"""`RunWriter`: AG-UI events in an order that the protocol allows, whatever is asked for. Pure.

The rules are those of `verifyEvents` in `@ag-ui/client`: everything lies inside a run; a run ends
after its messages and sub-agents; a message and a call belong to one sub-agent for a whole run.
"""

from collections.abc import Mapping

Data = Mapping[str, object]
AguiEvent = dict[str, object]
MAX_NAMES = 10_000  # of sub-agent runs and messages in one run, which a reader holds in memory
ROLES = ("user", "assistant", "system", "developer")


class _Run:
    """What the client has seen of the open run."""

    def __init__(self, run_id: str) -> None:
        self.id = run_id
        self.started: dict[str, str] = {}  # by agent, its sub-agent run that is open
        self.latest: dict[str, str] = {}  # by agent, its last sub-agent run, open or not
        self.names: set[str] = set()  # of all sub-agent runs: they may not begin twice
        self.begun: dict[str, int] = {}  # by agent, the number of its last sub-agent run
        self.messages: dict[str | None, str] = {}  # by agent, its open message
        self.owners: dict[str, str | None] = {}  # by message, its sub-agent run
        self.others: dict[tuple[str, str | None], str] = {}  # the id where that was another's
        self.spoke: set[str | None] = set()  # agents with a message


class RunWriter:
    """Collects the AG-UI events of one event after the other; `take` empties it."""

    def __init__(self, thread_id: str) -> None:
        self._thread_id = thread_id
        self._run: _Run | None = None
        self._written: list[AguiEvent] = []
        self._position = ""
        self._time_ms: int | None = None

    def begin(self, position: str, time_ms: int | None) -> None:
        """What follows comes from the event at this position, `epoch:number`."""
        self._position, self._time_ms = position, time_ms

    def take(self) -> list[AguiEvent]:
        """What was written since the last call."""
        written, self._written = self._written, []
        return written

    @property
    def open(self) -> bool:
        """Whether a run is open."""
        return self._run is not None

    @property
    def full(self) -> bool:
        """Whether the open run holds so many names that another one should begin."""
        run = self._run
        return run is not None and len(run.names) + len(run.owners) >= MAX_NAMES

    def spoke(self, agent: str | None) -> bool:
        """Whether the agent wrote a message in this run."""
        return self._run is not None and agent in self._run.spoke

    def forget(self) -> None:
        """The client's run is over: the next event begins another one."""
        self._run = None

    def start(self) -> None:
        """Begin a run, named by the position of the event that began it."""
        assert self._run is None, "expected no open run"
        self._run = _Run(self._position)
        self._write("RUN_STARTED", threadId=self._thread_id, runId=self._run.id)

    def finish(self, result: Data | None) -> None:
        """End the run with all that is open in it; its sub-agents go on in the next run."""
        run = self._opened()
        for one in list(run.started):
            self.end_agent(one, outcome={"type": "suspended"})
        for agent in list(run.messages):
            self.end_message(agent)
        self._write("RUN_FINISHED", threadId=self._thread_id, runId=run.id, result=result or None)
        self._run = None

    def fail(self, message: str, code: str | None) -> None:
        """End the run with an error, which ends all that is open in it."""
        self._opened()
        self._write("RUN_ERROR", message=message, code=code)
        self._run = None

    def start_agent(self, agent: str, name: str, parent: str | None, call: str | None) -> None:
        """Begin a sub-agent run of `agent`, if none is open."""
        run = self._opened()
        if agent in run.started:
            return
        self.end_message(agent)  # it belongs to no sub-agent run, or to the one before
        number = run.begun.get(agent, 0) + 1
        while (own := f"{agent}#{number}" if number > 1 else agent) in run.names:
            number += 1
        run.begun[agent] = number
        run.names.add(own)
        run.started[agent] = run.latest[agent] = own
        above = run.latest.get(parent) if parent is not None else None
        self._write(
            "SUBAGENT_STARTED",
            subagentRunId=own,
            name=name,
            parentSubagentRunId=above,
            parentToolCallId=call,
        )

    def end_agent(
        self, agent: str, outcome: Data | None = None, result: Data | None = None
    ) -> None:
        """End the sub-agent run of `agent`, if one is open."""
        self._end_agent(agent, "SUBAGENT_FINISHED", outcome=outcome, result=result)

    def fail_agent(self, agent: str, message: str, code: str | None) -> None:
        """End the sub-agent run of `agent` with an error, if one is open."""
        self._end_agent(agent, "SUBAGENT_ERROR", message=message, code=code)

    def _end_agent(self, agent: str, type_: str, **fields: object) -> None:
        run = self._opened()
        if agent in run.started:
            self.end_message(agent)
            self._write(type_, None, subagentRunId=run.started.pop(agent), **fields)

    def message(
        self, agent: str | None, role: str, message_id: str | None, text: str, *, whole: bool
    ) -> None:
        """Write text: a message of its own, or more of the message that is open."""
        run = self._opened()
        own = self._own(message_id or f"message-{self._position}", agent)
        if run.messages.get(agent) != own:
            self.end_message(agent)
            if own in run.messages.values():  # another agent's
                own = self._own(f"{own}@{agent}", agent)
            run.messages[agent] = own
            self._write("TEXT_MESSAGE_START", agent, messageId=own, role=role)
        if text:
            self._write("TEXT_MESSAGE_CONTENT", agent, messageId=own, delta=text)
        if role == "assistant":
            run.spoke.add(agent)
        if whole:
            self.end_message(agent)

    def end_message(self, agent: str | None) -> None:
        """End the open message of `agent`, if there is one."""
        run = self._opened()
        if agent in run.messages:
            own = run.messages.pop(agent)
            self._write("TEXT_MESSAGE_END", agent, messageId=own)

    def call(self, agent: str | None, call_id: str, name: str, arguments: str) -> None:
        """Write a call with all of its arguments. What it waits for comes as its result."""
        self.end_message(agent)
        own = {"toolCallId": call_id}
        self._write("TOOL_CALL_START", agent, **own, toolCallName=name)
        self._write("TOOL_CALL_ARGS", agent, **own, delta=arguments)
        self._write("TOOL_CALL_END", agent, **own)

    def result(self, agent: str | None, call_id: str, content: str, metadata: Data) -> None:
        """Write what a call brought."""
        self._opened()
        self._write(
            "TOOL_CALL_RESULT",
            agent,
            messageId=self._own(f"result-{call_id}", agent),
            toolCallId=call_id,
            role="tool",
            content=content,
            metadata={key: value for key, value in metadata.items() if value is not None} or None,
        )

    def custom(self, agent: str | None, name: str, value: Data) -> None:
        """Write what AG-UI has no event for."""
        self._opened()
        self._write("CUSTOM", agent, name=name, value=value)

    def _opened(self) -> _Run:
        assert self._run is not None, "expected an open run"
        return self._run

    def _own(self, message_id: str, agent: str | None) -> str:
        """The id, or another one if the message belongs to another sub-agent run."""
        tag, run = self._tag(agent), self._opened()
        if run.owners.setdefault(message_id, tag) == tag:
            return message_id
        if (own := run.others.get((message_id, tag))) is None:
            own = f"{message_id}@{tag or 'main'}"
            while run.owners.setdefault(own, tag) != tag:
                own += f"@{self._position}"  # which no earlier event could name
            run.others[message_id, tag] = own
        return own

    def _tag(self, agent: str | None) -> str | None:
        return None if agent is None or self._run is None else self._run.latest.get(agent)

    def _write(self, type_: str, agent: str | None = None, **fields: object) -> None:
        event: AguiEvent = {"type": type_, "timestamp": self._time_ms}
        event |= fields
        if tag := self._tag(agent):
            event["subagentRunId"] = tag
        self._written.append({key: value for key, value in event.items() if value is not None})
