"""What each type of event becomes in AG-UI. Pure."""

from .fields import answer_of, text
from .run import ROLES
from .thread import INTERRUPTED, Message, Step, Thread, call_id_of


def other(thread: Thread, agent: str | None, message: Message) -> None:
    """An event without a counterpart."""
    thread.open_run()
    thread.writer.custom(agent, message.type, message.data)


def _turn_started(thread: Thread, agent: str | None, message: Message) -> None:
    data, turn_id = message.data, text(message.data, "turn_id")
    if agent is None:
        if turn_id is not None and turn_id == thread.turn_id:  # the same report again
            return
        thread.turn_id = turn_id
        # A span is reported when it has ended: the calls of its turn came before.
        if not (thread.adoptable and message.metadata.get("otlp") == "traces"):
            _end_turn(thread)
    thread.work(agent, again=True)
    if agent is None:
        thread.adoptable = False
    if prompt := text(data, "prompt"):
        role = "user" if text(data, "reason") is None else "system"  # nobody asked
        thread.writer.message(agent, role, f"prompt-{thread.position}", prompt, whole=True)


def _end_turn(thread: Thread) -> None:
    """End a turn whose end nobody reported, with the sub-agents that it waited for."""
    if not thread.writer.open:
        if not thread.working:
            return
        thread.open_run()
    why = "the next turn began before a result"
    thread.end_calls(None, "interrupted", why)
    for agent_id in thread.at_work():
        if not thread.agents[agent_id].background:
            thread.interrupt(agent_id, why)
    thread.writer.finish(INTERRUPTED if thread.working else None)


def _turn_finished(thread: Thread, agent: str | None, message: Message) -> None:
    if agent is None and not thread.working:
        return
    if agent is not None and thread.agents[agent].known and not thread.agents[agent].working:
        return
    outcome = "interrupted" if message.data.get("outcome") == "interrupted" else "ok"
    thread.work(agent, again=False)
    unknown = "interrupted" if outcome == "interrupted" else "unknown"
    thread.end_calls(agent, unknown, "the turn ended without a result")
    summary = text(message.data, "summary")
    if summary and not thread.writer.spoke(agent):
        thread.writer.message(agent, "assistant", None, summary, whole=True)
    if agent is None:
        thread.working = False
        thread.writer.finish({"outcome": outcome})
    else:
        thread.agents[agent].working = False
        thread.writer.end_agent(agent, result={"outcome": outcome})


def _error(thread: Thread, agent: str | None, message: Message) -> None:
    if agent is not None and thread.agents[agent].known and not thread.agents[agent].working:
        other(thread, agent, message)
        return
    code = text(message.data, "error")
    words = text(message.data, "message") or code or "the agent reported an error"
    thread.work(agent, again=False)
    thread.end_calls(agent, "unknown", "the agent failed before a result")
    if agent is None:
        thread.working = False
        thread.writer.fail(words, code)
    else:
        thread.agents[agent].working = False
        thread.writer.fail_agent(agent, words, code)


def _tool_called(thread: Thread, agent: str | None, message: Message) -> None:
    if call_id_of(message.data) not in thread.calls:  # else the same report again, or late
        thread.work(agent, again=True)
        thread.add_call(agent, message.data, text(message.data, "tool_name") or "unknown")


def _tool_finished(thread: Thread, agent: str | None, message: Message) -> None:
    data = message.data
    name = text(data, "tool_name") or "unknown"
    found = thread.find_call(agent, data, name)
    if found is not None and found[1].answered:
        return
    thread.work(agent, again=False)
    call_id, call = found or thread.add_call(agent, data, name)
    content, metadata = answer_of(data)
    thread.answer(call_id, call, content, metadata)
    child_id = text(data, "child_id")
    if child_id is not None and child_id != agent and (child := thread.remember(child_id)):
        child.background, child.parent, child.call_id = True, agent, call_id


def _batch_finished(thread: Thread, agent: str | None, message: Message) -> None:
    """All calls of a message ended: one without a result was denied, or refused before it ran."""
    calls = message.data.get("calls")
    for entry in calls if isinstance(calls, list) else ():
        call_id = text(entry, "tool_use_id") if isinstance(entry, dict) else None
        if call_id is None or ((call := thread.calls.get(call_id)) and call.answered):
            continue
        thread.work(agent, again=False)
        outcome = "failed" if call is None or entry.get("refused") is True else "denied"
        if call is None:
            _, call = thread.add_call(agent, entry, text(entry, "tool_name") or "unknown")
        thread.answer(call_id, call, text(entry, "result") or outcome, {"outcome": outcome})


def _message(thread: Thread, agent: str | None, message: Message) -> None:
    content, message_id = text(message.data, "content"), text(message.data, "message_id")
    if content is None:
        return
    thread.work(agent, again=False)
    named = text(message.data, "role")
    role = named if named in ROLES else "assistant"
    thread.writer.message(agent, role, message_id, content, whole=message_id is None)


def _attention(thread: Thread, agent: str | None, message: Message) -> None:
    other(thread, agent, message)
    if agent is None and thread.working and message.data.get("reason") == "idle":
        thread.end_calls(None, "interrupted", "the agent waits for a prompt")
        thread.working = False
        thread.writer.finish(INTERRUPTED)


def _session_finished(thread: Thread, agent: str | None, message: Message) -> None:
    thread.open_run()
    why = "the session ended before a result"
    for agent_id in thread.at_work():
        thread.interrupt(agent_id, why)
    for owner in dict.fromkeys(call.agent for call in thread.calls.values()):
        thread.end_calls(owner, "interrupted", why)
    thread.writer.custom(agent, message.type, message.data)
    thread.writer.finish(INTERRUPTED if thread.working else None)
    thread.working = False
    thread.calls.clear()


STEPS: dict[str, Step] = {
    "agent.turn_started": _turn_started,
    "agent.turn_finished": _turn_finished,
    "agent.tool_called": _tool_called,
    "agent.tool_finished": _tool_finished,
    "agent.batch_finished": _batch_finished,
    "agent.attention_needed": _attention,
    "agent.error": _error,
    "agent.message": _message,
    "agent.session_finished": _session_finished,
}
