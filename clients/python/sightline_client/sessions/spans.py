"""Which agent each span of OpenTelemetry belongs to. Pure.

A span is reported when it has ended, after those below it. So a call is at first the main agent's, and
goes to its own agent when that is reported, or what lies between the two.
"""

from sightline_client.sessions.fields import Data, number, text
from sightline_client.sessions.state import Agent, Call, Session

MAX_SPANS = 5000  # of one session whose parents are known
MAX_DURATION_MS = 1e12


def note_span(session: Session, data: Data) -> None:
    """Take the place of an event, or of the spans that it lists, in the tree; then look again."""
    span_id = text(data, "span_id")
    found = {span_id: text(data, "parent_span_id")} if span_id is not None else {}
    listed = data.get("spans")
    if isinstance(listed, dict):
        found |= {key: text(listed, key) for key in listed}
    for key, parent in found.items():
        session.spans[key] = parent
        if len(session.spans) > MAX_SPANS:
            del session.spans[next(iter(session.spans))]
    if found:
        _attribute(session)


def _attribute(session: Session) -> None:
    calls = {call.span_id: call for call in session.calls.values() if call.span_id}
    for call in calls.values():
        call.agent_id = _above(session, calls, call.span_id)[0]
    for agent in session.agents.values():
        if agent.id in session.spans:
            parent, spawning, whole = _above(session, calls, agent.id)
            agent.parent_id, agent.parent_known = parent, whole
            if spawning is not None:
                spawning.child_id = agent.id


def _above(
    session: Session, calls: dict[str, Call], span_id: str | None
) -> tuple[str | None, Call | None, bool]:
    """The nearest agent above a span, the first call on the way, and whether the way is known."""
    spawning: Call | None = None
    passed = {span_id}
    while span_id in session.spans:
        span_id = session.spans[span_id]
        if span_id is None or span_id in passed:
            return None, spawning, True
        if span_id in session.agents:
            return span_id, spawning, True
        passed.add(span_id)
        spawning = spawning or calls.get(span_id)
    return None, spawning, False


def note_duration(agent: Agent, data: Data, now: float) -> None:
    """A turn that is reported at its end began earlier."""
    duration = number(data, "duration_ms")
    if duration is not None and 0 < duration < MAX_DURATION_MS:
        began = now - duration / 1000
        agent.started = began if agent.started is None else min(agent.started, began)
