/**
 * Which agent each span of OpenTelemetry belongs to. Pure; the Python client has the same in
 * `sightline_client.sessions.spans`.
 *
 * A span is reported when it has ended, after those below it. So a call is at first the main agent's, and goes
 * to its own agent when that is reported, or what lies between the two.
 */

import { number, text } from "./evidence.js";

const MAX_SPANS = 5000; // of one session whose parents are known
const MAX_DURATION_MS = 1e12;
/** Who reports a session: the later one counts, as all report the same steps. "" is a hook, or whoever else publishes. */
const SOURCES = ["logs", "traces", ""];

/** The rank of an event's source among `SOURCES`. */
export function rankOf(metadata) {
  const signal = text(metadata, "otlp") ?? "";
  return SOURCES.indexOf(SOURCES.includes(signal) ? signal : "");
}

/** Whether only spans of this rank report the session. */
export const fromSpans = (rank) => SOURCES[rank] === "traces";

/** Take the place of an event, or of the spans that it lists, in the tree; then look again. */
export function noteSpan(session, data) {
  const found = new Map();
  const spanId = text(data, "span_id");
  if (spanId !== null) found.set(spanId, text(data, "parent_span_id"));
  const { spans } = data;
  if (spans && typeof spans === "object" && !Array.isArray(spans)) {
    for (const key of Object.keys(spans)) found.set(key, text(spans, key));
  }
  for (const [key, parent] of found) {
    session.spans.set(key, parent);
    if (session.spans.size > MAX_SPANS) session.spans.delete(session.spans.keys().next().value);
  }
  if (found.size) attribute(session);
}

function attribute(session) {
  const calls = new Map([...session.calls.values()].filter((call) => call.spanId).map((call) => [call.spanId, call]));
  for (const call of calls.values()) call.agentId = above(session, calls, call.spanId).agentId;
  for (const agent of session.agents.values()) {
    if (!session.spans.has(agent.id)) continue;
    const { agentId, spawning, known } = above(session, calls, agent.id);
    Object.assign(agent, { parentId: agentId, parentKnown: known });
    if (spawning) spawning.childId = agent.id;
  }
}

/** The nearest agent above a span, the first call on the way, and whether the way is known. */
function above(session, calls, spanId) {
  let spawning = null;
  const passed = new Set([spanId]);
  while (session.spans.has(spanId)) {
    spanId = session.spans.get(spanId);
    if (spanId === null || passed.has(spanId)) return { agentId: null, spawning, known: true };
    if (session.agents.has(spanId)) return { agentId: spanId, spawning, known: true };
    passed.add(spanId);
    spawning ??= calls.get(spanId) ?? null;
  }
  return { agentId: null, spawning, known: false };
}

/** A turn that is reported at its end began earlier. */
export function noteDuration(agent, data, now) {
  const duration = number(data, "duration_ms");
  if (duration === null || !(duration > 0 && duration < MAX_DURATION_MS)) return;
  const began = now - duration / 1000;
  agent.started = agent.started === null ? began : Math.min(agent.started, began);
}
