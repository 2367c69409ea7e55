"""What each type of event says of a session. Pure."""

from collections.abc import Callable

from sightline_client.sessions.evidence import end_calls, end_child, find_agent, find_call, move
from sightline_client.sessions.fields import Data, number, text
from sightline_client.sessions.spans import note_duration
from sightline_client.sessions.state import (
    ALARMS,
    MAX_BACKGROUND,
    MAX_REQUESTS,
    RANKS,
    SILENT_AFTER_S,
    Agent,
    Attention,
    Session,
    Usage,
)

START_GRACE_S = (
    10.0  # by so much the report of a start may come late: agents send it in the background
)
_NO_RESTART = ("startup", "fork", "clear", "compact")  # each has a new id, or goes on
_SUMS = (
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens"),
    "cost_usd",
)


def _session_started(session: Session, agent: Agent, data: Data, now: float) -> None:
    reason = text(data, "reason")
    session.task = text(data, "task") or session.task
    if session.started is None:
        session.started = now
    if agent.state == "new":
        move(agent, "idle", "the session started")
        return
    if reason in _NO_RESTART:
        return
    before = now - START_GRACE_S
    if session.ended is not None:
        session.ended = session.reason = None
        move(agent, "idle", "the session started again")
    elif agent.turn_started is None or agent.turn_started < before:
        move(agent, "idle", "the session started again")
        for other in list(session.agents.values()):
            if other.turn_started is None or other.turn_started < before:
                end_calls(session, other, "restart", now, before)
                end_child(session, other, "restart", now)


def _turn_started(session: Session, agent: Agent, data: Data, now: float) -> None:
    session.ended = session.reason = None
    agent.turns += 1
    agent.turn_started = now
    agent.attention = agent.ended = agent.outcome = None
    if agent.id is None:
        end_calls(session, agent, "prompt", now)
        background = text(data, "background_id")
        if background is not None:
            session.background.pop(background, None)
        if text(data, "reason") is None:
            session.task = text(data, "prompt") or session.task
    move(agent, "working", "its turn started")


def _turn_finished(session: Session, agent: Agent, data: Data, now: float) -> None:
    interrupted = data.get("outcome") == "interrupted"
    end_calls(session, agent, "interrupt" if interrupted else "turn", now)
    agent.attention = None
    agent.summary = text(data, "summary") or agent.summary
    agent.outcome = "interrupted" if interrupted else "ok"
    agent.ended = now
    note_duration(agent, data, now)
    why = "its turn was interrupted" if interrupted else "its turn finished"
    move(agent, "idle" if agent.id is None else "finished", why)
    tasks = data.get("background")
    if agent.id is None and isinstance(tasks, list):
        entries = [task for task in tasks if isinstance(task, dict)]
        named = {name: task for task in entries if (name := text(task, "id")) is not None}
        session.background = dict(list(named.items())[:MAX_BACKGROUND])


def _tool_called(session: Session, agent: Agent, data: Data, now: float) -> None:
    call = find_call(session, agent, data, started=True)
    if call.called:
        return
    call.called = True
    call.started = now if call.ended is None else min(now, call.ended)
    attention, agent.attention = agent.attention, None
    if attention and attention.tool_name == call.tool_name:  # the question overtook the call
        call.asked = attention
    if call.open:
        session.ended = session.reason = None
        move(agent, "working", f"it called {call.tool_name}")


def _tool_finished(session: Session, agent: Agent, data: Data, now: float) -> None:
    call = find_call(session, agent, data, started=False)
    agent.attention = None
    outcome = _outcome(data)
    if call.outcome is None or RANKS.index(outcome) > RANKS.index(call.outcome):
        call.outcome = outcome
        call.error = text(data, "error")
        call.reason = text(data, "reason")
    call.ended = now if call.ended is None else call.ended
    duration = number(data, "duration_ms")
    call.duration_ms = duration if duration is not None else call.duration_ms
    child_id = text(data, "child_id")
    if child_id is not None and child_id != agent.id:
        call.child_id = child_id
        child = find_agent(session, {"agent_id": child_id}, now)
        if child.id == child_id:
            child.parent_id, child.parent_known = agent.id, True
    if agent.state == "new":
        move(agent, "working", f"it called {call.tool_name}")


def _batch_finished(session: Session, agent: Agent, data: Data, now: float) -> None:
    agent.attention = None
    calls = data.get("calls")
    for entry in calls if isinstance(calls, list) else []:
        if not isinstance(entry, dict) or text(entry, "tool_use_id") is None:
            continue
        call = find_call(session, agent, entry, started=False)
        if call.batch is None:
            call.batch = text(entry, "result") or ""
            call.refused = entry.get("refused") is True
            call.ended = now if call.ended is None else call.ended
    if agent.state == "new":
        move(agent, "working", "its calls ended")


def _attention(session: Session, agent: Agent, data: Data, now: float) -> None:
    reason = text(data, "reason") or "unknown"
    if reason == "idle":
        if agent.state == "working":
            end_calls(session, agent, "idle", now)
            move(agent, "idle", "it waits for a prompt")
        return
    message, tool_name = text(data, "message"), text(data, "tool_name")
    if reason in ALARMS:
        _alarm(session, agent, Attention(reason, now, message))
        return
    summary = text(data, "summary")
    if tool_name is None:  # the announcement of what is asked, or of what nothing else tells
        asked = session.attentions()
        for _, one in asked:
            one.message = one.message or message
        if not asked:
            agent.attention = Attention(reason, now, message)
        return
    attention = Attention(reason, now, message, tool_name, summary)
    named = session.calls.get(text(data, "tool_use_id") or "")
    running = [
        call
        for call in ([named] if named else session.calls_of(agent.id))
        if call.open and call.tool_name == tool_name and not call.asked
    ]
    alike = [call for call in running if call.summary == summary] or running[-1:]
    if alike:
        alike[0].asked = attention
    elif not any(
        one.tool_name == tool_name and one.summary == summary for _, one in session.attentions()
    ):
        agent.attention = attention


def _alarm(session: Session, agent: Agent, alarm: Attention) -> None:
    """What the gateway concluded, unless later events of the agent came before its report."""
    if alarm.reason == "failed":
        if agent.state != "working":
            agent.attention = alarm
    elif alarm.since - session.last >= SILENT_AFTER_S / 2:
        session.silence = alarm


def _error(session: Session, agent: Agent, data: Data, now: float) -> None:
    end_calls(session, agent, "error", now)
    agent.attention = None
    agent.outcome, agent.ended = "failed", now
    note_duration(agent, data, now)
    agent.summary = text(data, "message") or agent.summary
    move(agent, "failed", text(data, "error") or "it reported an error")


def _message(session: Session, agent: Agent, data: Data, now: float) -> None:
    if agent.state == "new":
        move(agent, "working", "it wrote a message")


def _session_finished(session: Session, agent: Agent, data: Data, now: float) -> None:
    session.ended, session.reason = now, text(data, "reason") or text(data, "status")
    for other in list(session.agents.values()):
        end_calls(session, other, "session", now)
        end_child(session, other, "session", now)
    main = session.agents[None]
    if main.state == "working":
        main.outcome, main.ended = "interrupted", now
    if main.state != "failed":
        move(main, "idle", "the session ended")
    session.background.clear()


def _reported(session: Session, agent: Agent, data: Data, now: float) -> None:
    pass


def _usage(session: Session, agent: Agent, data: Data, now: float) -> None:
    usage = session.usage.setdefault(text(data, "usage_source") or "", Usage())
    request = text(data, "request_id")
    if request is not None:
        if request in usage.seen:
            return
        usage.seen[request] = None
        if len(usage.seen) > MAX_REQUESTS:
            del usage.seen[next(iter(usage.seen))]
    usage.requests += 1
    for name in _SUMS:
        usage.sums[name] = usage.sums.get(name, 0) + max(number(data, name) or 0, 0)


NO_STATE = ("agent.reported", "agent.usage_reported")  # they say nothing of an agent's state
HANDLERS: dict[str, Callable[[Session, Agent, Data, float], None]] = {
    "agent.session_started": _session_started,
    "agent.turn_started": _turn_started,
    "agent.turn_finished": _turn_finished,
    "agent.tool_called": _tool_called,
    "agent.tool_finished": _tool_finished,
    "agent.batch_finished": _batch_finished,
    "agent.attention_needed": _attention,
    "agent.error": _error,
    "agent.message": _message,
    "agent.session_finished": _session_finished,
    "agent.reported": _reported,
    "agent.usage_reported": _usage,
}


def _outcome(data: Data) -> str:
    outcome = data.get("outcome")
    if isinstance(outcome, str):
        return outcome if outcome in RANKS else "unknown"
    return "failed" if data.get("success") is False else "ok"
