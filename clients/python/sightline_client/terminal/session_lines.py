"""How sessions of agents look in a terminal: a line each, below it what a person is asked, and a tree. Pure."""

from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size

from sightline_client.sessions.view import AgentView, View

from .lines import printable

_COLOURS = {"waiting": 33, "failed": 31, "silent": 35, "working": 32, "idle": 36, "finished": 2}
_NOTABLE = ("failed", "denied", "interrupted", "unknown", "running")
_ASKS = {"permission": "asks for permission", "plan": "asks about its plan", "question": "asks"}
_STATE_WIDTH = 8
_SHORT_ID = 8


def of_sessions(
    views: list[View], now: float, *, colour: bool = False, width: int | None = None
) -> list[str]:
    """The lines of all sessions. `width` in columns cuts each line."""
    if not views:
        return ["no session of an agent yet: see docs/agents.md"]
    found = []
    for view in views:
        for index, text in enumerate(_session(view, now)):
            line = printable(text)
            if width is not None and cell_len(line) > width:
                line = set_cell_size(line, width - 1).rstrip() + "…"
            if colour and index == 0:
                state, rest = line[:_STATE_WIDTH], line[_STATE_WIDTH:]
                line = f"\x1b[{_COLOURS[view.state]}m{state}\x1b[0m{rest}"
            found.append(line)
    return found


def _session(view: View, now: float) -> Iterator[str]:
    facts = [
        f"{view.state:<{_STATE_WIDTH}} {view.source or 'agent'} {view.session_id[:_SHORT_ID]}",
        f"{span(max(now - view.last, 0))} ago" if view.ended is None else "ended",
        _calls(view),
        _usage(view),
        f"{len(view.background)} in the background" if view.background else "",
        view.folder or "",
        f'"{" ".join(view.task.split())}"' if view.task else "",
    ]
    yield "  ".join(fact for fact in facts if fact)
    if view.attention is not None:
        asked = view.attention
        what = [asked.tool_name, asked.summary, asked.message]
        verb = _ASKS.get(asked.reason, f"needs a person ({asked.reason})")
        who = f" (sub-agent {asked.agent_id[:_SHORT_ID]})" if asked.agent_id else ""
        yield f"  ! {verb}{who}: {' '.join(text for text in what if text)}".rstrip(": ")
    elif view.current is not None and view.current.state == "running":
        yield f"  > {view.current.tool_name} {view.current.summary or ''}".rstrip()
    elif view.state in ("failed", "silent"):
        yield f"  {view.why}"
    yield from _tree(view)


def _tree(view: View) -> Iterator[str]:
    """The sub-agents below the agents that began them; each once, whatever their parents are."""
    left = {agent.agent_id: agent for agent in view.agents if agent.agent_id is not None}
    known: set[str | None] = set(left)

    def below(parent: str | None, depth: int) -> Iterator[str]:
        for agent_id, agent in list(left.items()):
            if agent_id in left and _parent(agent, known) == parent:
                del left[agent_id]
                yield f"{'  ' * depth}- {_agent(agent)}"
                yield from below(agent_id, depth + 1)

    yield from below(None, 1)
    for agent in list(left.values()):  # their parents are in a circle: nothing honest says so
        yield f"  - {_agent(agent)}"


def _parent(agent: AgentView, known: set[str | None]) -> str | None:
    return agent.parent_id if agent.parent_id in known else None


def _agent(agent: AgentView) -> str:
    state = agent.outcome if agent.outcome == "interrupted" else agent.state
    facts = [f"{agent.agent_type or 'sub-agent'} {(agent.agent_id or '')[:_SHORT_ID]}  {state}"]
    if agent.duration_ms is not None:
        facts.append(span(agent.duration_ms / 1000))
    if notable := _notable(agent.counts):
        facts.append(notable)
    current = next((call for call in agent.calls if call.tool_use_id == agent.current), None)
    if current is not None:
        facts.append(f"> {current.tool_name} {current.summary or ''}".rstrip())
    if agent.parent == "guessed":
        facts.append("(its parent is a guess)")
    elif agent.parent == "unknown":
        facts.append("(its parent is not known)")
    return "  ".join(facts)


def _calls(view: View) -> str:
    counts: dict[str, int] = {}
    for agent in view.agents:
        for state, count in agent.counts.items():
            counts[state] = counts.get(state, 0) + count
    total = sum(counts.values())
    if not total:
        return ""
    calls = f"{total} call{'s' if total > 1 else ''}"
    return f"{calls}, {notable}" if (notable := _notable(counts)) else calls


def _notable(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[state]} {state}" for state in _NOTABLE if counts.get(state))


def _usage(view: View) -> str:
    usage = view.usage
    if usage is None:
        return ""
    tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_creation_tokens
    cost = f" ${usage.cost_usd:.4f}" if usage.cost_usd else ""
    return f"{tokens:,.0f} in, {usage.output_tokens:,.0f} out{cost}"


def span(seconds: float) -> str:
    """A span of time in its two largest units: `45s`, `3m12s`, `2h05m`, `4d03h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
