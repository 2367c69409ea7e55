"""What is known of one session of an agent: its agents, their calls, and how a call is judged. Pure.

The reducer (`sessions`) writes down evidence here; states are concluded from the evidence, so the
order in which two reports of one call arrive makes no difference.
"""

from dataclasses import dataclass, field

SILENT_AFTER_S = 600.0  # a single command of an agent may well take so long
MAX_CALLS = 500  # of one session that are kept; what goes first is the oldest that has ended
MAX_AGENTS = 200
MAX_REQUESTS = 5000  # whose usage is known to be counted
MAX_BACKGROUND = 100
RANKS = ("unknown", "ok", "failed", "interrupted", "denied")  # the later one counts, if two differ
# Reasons that the gateway finds by itself: the session needs a person, and nobody is asked anything.
ALARMS = ("failed", "silent")
ASKS_LEAVE = ("permission", "plan")  # a person says yes or no; a question has other answers
# Why a call without a result has ended: the state that it then has, and in words.
ENDINGS = {
    "interrupt": ("interrupted", "the agent reported an interruption"),
    "prompt": ("interrupted", "the next prompt came before a result"),
    "session": ("interrupted", "the session ended before a result"),
    "restart": ("interrupted", "the session started again before a result"),
    "caller": ("interrupted", "the agent that waited for it was interrupted"),
    "idle": ("interrupted", "the agent waits for a prompt"),
    "turn": ("unknown", "the agent finished its turn without reporting a result"),
    "error": ("unknown", "the agent failed before it reported a result"),
}


@dataclass
class Attention:
    """What a person is asked, or why the session needs one."""

    reason: str
    since: float
    message: str | None = None
    tool_name: str | None = None
    summary: str | None = None


@dataclass
class Call:
    """A tool call, as the evidence for its state."""

    id: str
    agent_id: str | None
    tool_name: str
    order: int
    summary: str | None = None
    called: bool = False
    started: float | None = None
    ended: float | None = None
    duration_ms: float | None = None
    error: str | None = None
    reason: str | None = None
    outcome: str | None = None  # as reported
    batch: str | None = None  # the result in `agent.batch_finished`; "" for none
    refused: bool = False
    whole: bool = True  # nothing was lost that could have been about this call
    ending: str | None = None  # a key of ENDINGS
    asked: Attention | None = None
    spawns: bool = False
    span_id: str | None = None
    child_id: str | None = None

    @property
    def open(self) -> bool:
        return self.outcome is None and self.batch is None and self.ending is None and self.called

    def judge(self) -> tuple[str, str]:
        """The state, and why: `running`, `ok`, `failed`, `denied`, `interrupted` or `unknown`."""
        if self.outcome is not None:
            return self.outcome, self.reason or "reported by the agent"
        if self.batch is not None:
            return self._judge_batch(f": {self.batch}" if self.batch else "")
        if self.ending is not None:
            state, why = ENDINGS[self.ending]
            if not self.whole:
                return "unknown", f"{why}, but reports were lost"
            if self.asked and self.asked.reason in ASKS_LEAVE and self.ending != "interrupt":
                return "denied", f"a permission was asked for, and {why}"
            return state, why
        if self.called:
            return "running", "called, and no end was reported"
        return "unknown", "only a part of its reports arrived"

    def _judge_batch(self, result: str) -> tuple[str, str]:
        if self.refused:
            return "failed", f"refused before it ran{result}"
        if not self.whole:
            return "unknown", f"it has ended, but reports were lost{result}"
        if not self.called:
            return "failed", f"it has ended, and no start was reported{result}"
        asked = "a permission was asked for, and " if self.asked else ""
        return "denied", f"{asked}it has ended without running{result}"


@dataclass
class Agent:
    """The main agent of a session (`id` is None) or one of its sub-agents."""

    id: str | None
    order: int
    type: str | None = None
    state: str = "new"  # then working, idle (main), finished (sub-agent) or failed
    why: str = "seen for the first time"
    outcome: str | None = None
    parent_id: str | None = None
    parent_known: bool = False
    started: float | None = None
    turn_started: float | None = None
    ended: float | None = None
    turns: int = 0
    summary: str | None = None
    attention: Attention | None = None  # that no known call is the reason of
    forgotten: dict[str, int] = field(default_factory=dict)  # states of calls no longer kept


@dataclass
class Usage:
    """Sums of one source: logs, spans and metrics report the same requests."""

    requests: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)


@dataclass
class Session:
    """One session of an agent."""

    id: str
    last: float
    whole: bool
    source: str | None = None
    model: str | None = None
    folder: str | None = None
    task: str | None = None
    started: float | None = None
    ended: float | None = None
    reason: str | None = None
    gaps: int = 0
    agents: dict[str | None, Agent] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    usage: dict[str, Usage] = field(default_factory=dict)
    background: dict[str, dict[str, object]] = field(default_factory=dict)
    spans: dict[str, str | None] = field(default_factory=dict)  # the parent of each
    rank: int = 0  # of the best source so far; what others report changes only the usage
    silence: Attention | None = None  # reported, and not yet ended by an event
    counter: int = 0

    def tick(self) -> int:
        """The next number in the order of what was seen first."""
        self.counter += 1
        return self.counter

    def calls_of(self, agent_id: str | None) -> list[Call]:
        return [call for call in self.calls.values() if call.agent_id == agent_id]

    def attentions(self) -> list[tuple[Agent, Attention]]:
        """What a person is asked now, oldest first; then the alarms."""
        found = [(agent, agent.attention) for agent in self.agents.values() if agent.attention]
        for call in self.calls.values():
            if call.open and call.asked:
                found.append((self.agents[call.agent_id], call.asked))
        if self.silence:
            found.append((self.agents[None], self.silence))
        return sorted(found, key=lambda pair: (pair[1].reason in ALARMS, pair[1].since))

    def parents(self) -> dict[str, tuple[str | None, str, Call | None]]:
        """Of each sub-agent its parent, how that is known, and the call that began it.

        Known is `reported`, or `guessed`: by the oldest call that begins an agent and has no other,
        in the order of the calls and of the agents. Agents that no call is left for are `unknown`.
        """
        by_child = {call.child_id: call for call in self.calls.values() if call.child_id}
        spawning = sorted(
            (c for c in self.calls.values() if c.spawns and not c.child_id and c.called),
            key=lambda call: call.order,
        )
        free = [call for call in spawning if call.judge()[0] in ("running", "ok", "interrupted")]
        found: dict[str, tuple[str | None, str, Call | None]] = {}
        for agent in sorted(self.agents.values(), key=lambda agent: agent.order):
            if agent.id is None:
                continue
            call = by_child.get(agent.id)
            if call or agent.parent_known:
                parent = call.agent_id if call else agent.parent_id
                found[agent.id] = (parent, "reported", call)
                continue
            likely = [c for c in free if c.order < agent.order and c.agent_id != agent.id]
            if likely:
                free.remove(likely[0])
                found[agent.id] = (likely[0].agent_id, "guessed", likely[0])
            else:
                found[agent.id] = (None, "unknown", None)
        return found
