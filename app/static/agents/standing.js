/** How a session stands at a moment: its evidence, judged. Pure. The fields are those of the Python client. */

import { ALARMS, SILENT_AFTER_S } from "./evidence.js";

/** What needs a person comes first. */
export const ORDER = ["waiting", "failed", "silent", "working", "idle", "finished"];

/** All sessions at `now` (seconds since 1970): those that need a person first, then the latest first. */
export function standings(sessions, now) {
  return [...sessions].map((session) => standingOf(session, now)).sort(byNeed);
}

/** The order of sessions on a page. */
export function byNeed(a, b) {
  return (
    (a.ended !== null) - (b.ended !== null) ||
    ORDER.indexOf(a.state) - ORDER.indexOf(b.state) ||
    b.last - a.last ||
    (a.session_id < b.session_id ? -1 : 1)
  );
}

/** One session at `now`. */
export function standingOf(session, now) {
  const attentions = session.ended === null ? session.attentions() : [];
  const [state, why] = stateOf(session, attentions, now);
  const silent = state === "silent";
  const parents = session.parents();
  const isAlarm = ({ reason }) => ALARMS.includes(reason);
  const waiting = new Set(attentions.filter(([, one]) => !isAlarm(one)).map(([agent]) => agent.id));
  // An alarm counts while the session is in the state that it reports.
  const [shown] = attentions.filter(([, one]) => !isAlarm(one) || one.reason === state);
  const calls = new Map([...session.agents.keys()].map((id) => [id, []]));
  for (const call of session.calls.values()) calls.get(call.agentId).push(call);
  const open = [...session.calls.values()].filter((call) => call.open);
  const begun = [...session.agents.values()].map((agent) => agent.started).filter((moment) => moment !== null);
  const started = session.started ?? (begun.length ? Math.min(...begun) : session.last);
  const end = session.ended ?? Math.max(now, session.last);
  return {
    session_id: session.id,
    source: session.source,
    state,
    why,
    model: session.model,
    folder: session.folder,
    task: session.task,
    started,
    last: session.last,
    ended: session.ended,
    reason: session.reason,
    duration_ms: Math.round((end - started) * 1000),
    attention: shown ? attentionOf(...shown) : null,
    current: open.length ? callOf(open.at(-1), silent) : null,
    agents: [...session.agents.values()].map((agent) =>
      agentOf(session, agent, { calls: calls.get(agent.id), waiting: waiting.has(agent.id), silent, parent: parents.get(agent.id), now }),
    ),
    usage: usageOf(session),
    background: [...session.background.values()],
    gaps: session.gaps,
  };
}

function stateOf(session, attentions, now) {
  const { main } = session;
  if (session.ended !== null) {
    if (main.state === "failed") return ["failed", main.why];
    return ["finished", `the session ended: ${session.reason ?? "no reason was given"}`];
  }
  const reason = attentions[0]?.[1].reason ?? null;
  if (reason !== null && !ALARMS.includes(reason)) return ["waiting", `a person is asked: ${reason}`];
  const working = [...session.agents.values()].filter((agent) => agent.state === "working");
  if (working.length) {
    if (reason === "silent" || now - session.last > SILENT_AFTER_S) {
      const why = "it works on something long, was interrupted, or its process is gone";
      return ["silent", `no event for ${SILENT_AFTER_S / 60} minutes: ${why}`];
    }
    return ["working", main.state === "working" ? main.why : `${working.length} of its sub-agents at work`];
  }
  if (main.state !== "failed" && reason === "failed") return ["failed", "reported as failed"];
  return [main.state === "failed" ? "failed" : "idle", main.why];
}

function agentOf(session, agent, { calls, waiting, silent, parent, now }) {
  let state = agent.state === "new" ? "idle" : agent.state;
  if (agent.id === null && session.ended !== null && state !== "failed") state = "finished";
  else if (waiting) state = "waiting";
  else if (silent && state === "working") state = "silent";
  const views = calls.map((call) => callOf(call, silent));
  const counts = new Map(agent.forgotten);
  for (const call of views) counts.set(call.state, (counts.get(call.state) ?? 0) + 1);
  let end = agent.ended ?? Math.max(now, session.last);
  if (session.ended !== null) end = Math.min(end, session.ended);
  return {
    agent_id: agent.id,
    agent_type: agent.type,
    parent_id: parent?.parentId ?? null,
    parent: parent?.how ?? null,
    state,
    why: agent.why,
    outcome: agent.outcome,
    turns: agent.turns,
    started: agent.started,
    duration_ms: agent.started === null ? null : Math.round(Math.max(end - agent.started, 0) * 1000),
    summary: agent.summary,
    current: calls.findLast((call) => call.open)?.id ?? null,
    calls: views,
    counts: Object.fromEntries([...counts].sort()),
  };
}

/** A call as it stands; in a `silent` session, an open call has no known state. */
export function callOf(call, silent = false) {
  let [state, why] = call.judge();
  if (silent && state === "running") [state, why] = ["unknown", "called, and its session has been silent since"];
  const span = call.started !== null && call.ended !== null ? call.ended - call.started : null;
  return {
    tool_use_id: call.id,
    tool_name: call.toolName,
    summary: call.summary,
    state,
    why,
    started: call.started,
    duration_ms: call.durationMs ?? (span === null ? null : Math.round(Math.max(span, 0) * 1000)),
    error: call.error,
    child_id: call.childId,
  };
}

function attentionOf(agent, { reason, since, message, toolName, summary }) {
  return { agent_id: agent.id, reason, since, message, tool_name: toolName, summary };
}

const total = ({ sums }) => Object.values(sums).reduce((all, one) => all + one, 0);

/** Of several sources that report the same requests, the one that reports most. */
function usageOf(session) {
  if (!session.usage.size) return null;
  const { requests, sums } = [...session.usage.values()].reduce((a, b) => (total(b) > total(a) ? b : a));
  return {
    requests,
    input_tokens: sums.input_tokens ?? 0,
    output_tokens: sums.output_tokens ?? 0,
    cache_read_tokens: sums.cache_read_tokens ?? 0,
    cache_creation_tokens: sums.cache_creation_tokens ?? 0,
    cost_usd: Number((sums.cost_usd ?? 0).toFixed(7)),
  };
}
