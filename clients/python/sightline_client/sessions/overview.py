"""How the sessions stand at a moment: their evidence, judged. Pure."""

from collections.abc import Iterable

from sightline_client.sessions.state import (
    ALARMS,
    SILENT_AFTER_S,
    Agent,
    Attention,
    Call,
    Session,
)
from sightline_client.sessions.view import AgentView, AttentionView, CallView, UsageView, View

# What needs a person comes first.
ORDER = ("waiting", "failed", "silent", "working", "idle", "finished")


def view_of(sessions: Iterable[Session], now: float) -> list[View]:
    """All sessions, those that need a person first, then the latest first."""
    views = [_session(session, now) for session in sessions]
    return sorted(
        views,
        key=lambda view: (
            view.ended is not None,
            ORDER.index(view.state),
            -view.last,
            view.session_id,
        ),
    )


def _session(session: Session, now: float) -> View:
    attentions = session.attentions() if session.ended is None else []
    state, why = _state(session, attentions, now)
    silent = state == "silent"
    parents = session.parents()
    # An alarm counts while the session is in the state that it reports.
    shown = [
        (a, asked) for a, asked in attentions if asked.reason not in ALARMS or asked.reason == state
    ]
    waiting = {agent.id for agent, asked in attentions if asked.reason not in ALARMS}
    agents = [
        _agent(session, agent, agent.id in waiting, silent, parents.get(agent.id or ""), now)
        for agent in session.agents.values()
    ]
    open_calls = [call for call in session.calls.values() if call.open]
    started = session.started if session.started is not None else _first(session)
    end = session.ended if session.ended is not None else max(now, session.last)
    return View(
        session_id=session.id,
        source=session.source,
        state=state,
        why=why,
        model=session.model,
        folder=session.folder,
        task=session.task,
        started=started,
        last=session.last,
        ended=session.ended,
        reason=session.reason,
        duration_ms=round((end - started) * 1000),
        attention=_attention(*shown[0]) if shown else None,
        current=_call(open_calls[-1], silent) if open_calls else None,
        agents=agents,
        usage=_usage(session),
        background=list(session.background.values()),
        gaps=session.gaps,
    )


def _first(session: Session) -> float:
    moments = [agent.started for agent in session.agents.values() if agent.started is not None]
    return min(moments, default=session.last)


def _state(
    session: Session, attentions: list[tuple[Agent, Attention]], now: float
) -> tuple[str, str]:
    main = session.agents[None]
    if session.ended is not None:
        if main.state == "failed":
            return "failed", main.why
        return "finished", f"the session ended: {session.reason or 'no reason was given'}"
    reason = attentions[0][1].reason if attentions else None
    if reason is not None and reason not in ALARMS:
        return "waiting", f"a person is asked: {reason}"
    working = [agent for agent in session.agents.values() if agent.state == "working"]
    if working:
        if reason == "silent" or now - session.last > SILENT_AFTER_S:
            return "silent", (
                f"no event for {SILENT_AFTER_S / 60:g} minutes:"
                " it works on something long, was interrupted, or its process is gone"
            )
        if main.state == "working":
            return "working", main.why
        return "working", f"{len(working)} of its sub-agents at work"
    if main.state == "failed":
        return "failed", main.why
    if reason == "failed":
        return "failed", "reported as failed"
    return "idle", main.why


def _agent(
    session: Session,
    agent: Agent,
    waiting: bool,
    silent: bool,
    parent: tuple[str | None, str, Call | None] | None,
    now: float,
) -> AgentView:
    state = "idle" if agent.state == "new" else agent.state
    if agent.id is None and session.ended is not None and state != "failed":
        state = "finished"
    elif waiting:
        state = "waiting"
    elif silent and state == "working":
        state = "silent"
    calls = [_call(call, silent) for call in session.calls_of(agent.id)]
    counts = dict(agent.forgotten)
    for call in calls:
        counts[call.state] = counts.get(call.state, 0) + 1
    end = agent.ended if agent.ended is not None else max(now, session.last)
    if session.ended is not None:
        end = min(end, session.ended)
    current = [call for call in session.calls_of(agent.id) if call.open]
    return AgentView(
        agent_id=agent.id,
        agent_type=agent.type,
        parent_id=parent[0] if parent else None,
        parent=parent[1] if parent else None,
        state=state,
        why=agent.why,
        outcome=agent.outcome,
        turns=agent.turns,
        started=agent.started,
        duration_ms=None if agent.started is None else round(max(end - agent.started, 0) * 1000),
        summary=agent.summary,
        current=current[-1].id if current else None,
        calls=calls,
        counts=dict(sorted(counts.items())),
    )


def _call(call: Call, silent: bool) -> CallView:
    state, why = call.judge()
    if silent and state == "running":
        state, why = "unknown", "called, and its session has been silent since"
    duration = call.duration_ms
    if duration is None and call.started is not None and call.ended is not None:
        duration = round(max(call.ended - call.started, 0) * 1000)
    return CallView(
        tool_use_id=call.id,
        tool_name=call.tool_name,
        summary=call.summary,
        state=state,
        why=why,
        started=call.started,
        duration_ms=duration,
        error=call.error,
        child_id=call.child_id,
    )


def _attention(agent: Agent, asked: Attention) -> AttentionView:
    return AttentionView(
        agent_id=agent.id,
        reason=asked.reason,
        since=asked.since,
        message=asked.message,
        tool_name=asked.tool_name,
        summary=asked.summary,
    )


def _usage(session: Session) -> UsageView | None:
    """Of several sources that report the same requests, the one that reports most."""
    if not session.usage:
        return None
    fullest = max(session.usage.values(), key=lambda usage: sum(usage.sums.values()))
    return UsageView(
        requests=fullest.requests,
        input_tokens=fullest.sums.get("input_tokens", 0),
        output_tokens=fullest.sums.get("output_tokens", 0),
        cache_read_tokens=fullest.sums.get("cache_read_tokens", 0),
        cache_creation_tokens=fullest.sums.get("cache_creation_tokens", 0),
        cost_usd=round(fullest.sums.get("cost_usd", 0), 7),
    )
