"""Finding the agents and calls that events are about, and ending them. Pure."""

from sightline_client.sessions.fields import Data, text
from sightline_client.sessions.state import ENDINGS, MAX_AGENTS, MAX_CALLS, Agent, Call, Session


def find_agent(session: Session, data: Data, now: float) -> Agent:
    """The agent that the event is about: the main one where none is named, or there are too many."""
    agent_id = text(data, "agent_id")
    agent = session.agents.get(agent_id)
    if agent is None:
        if len(session.agents) >= MAX_AGENTS:
            return session.agents[None]
        agent = session.agents[agent_id] = Agent(agent_id, session.tick())
    agent.started = now if agent.started is None else agent.started
    agent.type = text(data, "agent_type") or agent.type
    parent = data.get("parent_id", "")
    if parent is None or text(data, "parent_id"):  # null is the main agent
        agent.parent_id, agent.parent_known = text(data, "parent_id"), True
    return agent


def find_call(session: Session, agent: Agent, data: Data, started: bool) -> Call:
    """The call that the event is about, made anew where this is the first report of it.

    A call without an id ends as the oldest open call of the same tool.
    """
    tool_name = text(data, "tool_name") or "unknown"
    call_id = text(data, "tool_use_id") or text(data, "call_id")
    call = session.calls.get(call_id or "")
    if call_id is None and not started:
        calls = session.calls_of(agent.id)
        call = next((one for one in calls if one.open and one.tool_name == tool_name), None)
    if call is None:
        if len(session.calls) >= MAX_CALLS:
            _forget_call(session)
        order = session.tick()
        call = Call(
            call_id or f"#{order}", agent.id, tool_name, order, whole=session.whole or started
        )
        session.calls[call.id] = call
    call.tool_name = tool_name if call.tool_name == "unknown" else call.tool_name
    call.span_id = call.span_id or text(data, "span_id")
    call.summary = call.summary or text(data, "summary")
    call.spawns = call.spawns or data.get("spawns_agent") is True
    return call


def _forget_call(session: Session) -> None:
    calls = session.calls.values()
    oldest = next((call for call in calls if not call.open), None) or next(iter(calls))
    states = session.agents[oldest.agent_id].forgotten
    state = "unknown" if oldest.open else oldest.judge()[0]
    states[state] = states.get(state, 0) + 1
    del session.calls[oldest.id]


def end_calls(
    session: Session, agent: Agent, ending: str, now: float, before: float | None = None
) -> None:
    """End the open calls of an agent, those that began before a moment where one is given."""
    ended = [
        call
        for call in session.calls_of(agent.id)
        if call.open and (before is None or call.started is None or call.started < before)
    ]
    parents = session.parents() if any(call.spawns for call in ended) else {}
    for call in ended:
        call.ending, call.ended = ending, now
    if ENDINGS[ending][0] != "interrupted":
        return
    for child_id, (_, _, spawning) in parents.items():
        if spawning in ended and (child := session.agents[child_id]).state in ("new", "working"):
            end_child(session, child, "caller", now)


def end_child(session: Session, agent: Agent, ending: str, now: float) -> None:
    """A sub-agent that worked was interrupted, with all that it was doing."""
    if agent.id is None or agent.state not in ("new", "working"):
        return
    agent.outcome, agent.ended, agent.attention = "interrupted", now, None
    move(agent, "finished", ENDINGS[ending][1])
    end_calls(session, agent, ending, now)


def move(agent: Agent, state: str, why: str) -> None:
    agent.state, agent.why = state, why
