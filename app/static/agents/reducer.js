/**
 * `Sessions`: from events to the sessions of agents, their sub-agents and calls. Pure: no clock, no page.
 *
 * Feed it every event with `apply`, and every gap with `lost`, in the order of the stream; `view(now)` in
 * `standing.js` says how a session stands. Agents report many ends not at all: no hook fires after Esc, after No
 * in a dialog, after an interruption or a kill. So the state of a call without a result is concluded from what
 * came later, and each state says why. A report that comes late corrects what was concluded.
 */

import { ALARMS, number, RANKS, Session, SILENT_AFTER_S, text } from "./evidence.js";
import { fromSpans, noteDuration, noteSpan, rankOf } from "./spans.js";

const MAX_SESSIONS = 500; // what goes first is the one that has been quiet for longest
const MAX_BACKGROUND = 100;
const MAX_REQUESTS = 5000; // whose usage is known to be counted
const START_GRACE_S = 10; // by so much the report of a start may come late: agents send it in the background
const NO_RESTART = ["startup", "fork", "clear", "compact"]; // each has a new id, or goes on
const SUMS = ["input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens", "cost_usd"];

export class Sessions {
  /** `maxCalls` of each session are kept; undefined is the usual bound. */
  constructor({ maxCalls } = {}) {
    this.byId = new Map();
    this._maxCalls = maxCalls;
    this._number = 0;
  }

  /**
   * Take one event; an event that was taken before, by its number, changes nothing. The result is
   * `{session, agent, call}`: `call` where the event is about one, `agent` null where a better source reports the
   * same step. It is null where the event tells nothing.
   */
  apply({ type, data, metadata, timestamp, sequence_number: sequenceNumber }) {
    if (sequenceNumber <= this._number) return null;
    this._number = sequenceNumber;
    const handler = Object.hasOwn(HANDLERS, type) ? HANDLERS[type] : undefined;
    const id = text(data, "session_id");
    if (!handler || id === null) return null;
    const now = Date.parse(timestamp) / 1000 || 0;
    let session = this.byId.get(id);
    if (!session) {
      this._makeRoom();
      const whole = type === "agent.session_started" || type === "agent.turn_started";
      session = new Session(id, now, whole, this._maxCalls);
      this.byId.set(id, session);
    }
    if (type !== "agent.attention_needed" || !ALARMS.includes(data.reason)) {
      // an alarm is the gateway's: the agent gave no sign of life
      session.last = Math.max(session.last, now);
      session.silence = null;
    }
    session.source = text(metadata, "agent") ?? text(metadata, "source") ?? session.source ?? text(data, "agent_name");
    session.model = text(data, "model") ?? session.model;
    session.folder = text(data, "folder") ?? session.folder;
    let agent = session.main;
    let call = null;
    if (NO_STATE.includes(type)) handler(session, agent, data, now);
    else {
      const rank = rankOf(metadata);
      session.rank = Math.max(session.rank, rank);
      if (rank < session.rank) return { session, agent: null, call: null }; // the same steps again, and late
      agent = session.findAgent(data, now);
      call = handler(session, agent, data, now) ?? null;
      if (fromSpans(rank) && agent.id !== null && agent.turns === 0) {
        agent.ended = now;
        agent.move("new", "its spans report calls, and no turn");
      }
    }
    if (type !== "agent.usage_reported") noteSpan(session, data);
    return { session, agent, call };
  }

  /** Events were lost here: what is open now may have ended, and nobody would say so. */
  lost(epochChanged = false) {
    if (epochChanged) this._number = 0;
    for (const session of this.byId.values()) {
      session.gaps += 1;
      session.whole = false;
      for (const call of session.calls.values()) call.whole &&= call.outcome !== null;
    }
  }

  _makeRoom() {
    if (this.byId.size < MAX_SESSIONS) return;
    const all = [...this.byId.values()];
    const ended = all.filter((session) => session.ended !== null);
    const quiet = (ended.length ? ended : all).reduce((a, b) => (b.last < a.last ? b : a));
    this.byId.delete(quiet.id);
  }
}

function sessionStarted(session, agent, data, now) {
  session.task = text(data, "task") ?? session.task;
  session.started ??= now;
  if (agent.state === "new") return agent.move("idle", "the session started");
  if (NO_RESTART.includes(data.reason)) return;
  const before = now - START_GRACE_S;
  const began = (one) => one.turnStarted === null || one.turnStarted < before;
  if (session.ended !== null) {
    session.ended = session.reason = null;
    agent.move("idle", "the session started again");
  } else if (began(agent)) {
    agent.move("idle", "the session started again");
    for (const other of [...session.agents.values()].filter(began)) {
      session.endCalls(other, "restart", now, before);
      session.endChild(other, "restart", now);
    }
  }
}

function turnStarted(session, agent, data, now) {
  session.ended = session.reason = null;
  agent.turns += 1;
  agent.turnStarted = now;
  agent.attention = agent.ended = agent.outcome = null;
  if (agent.id === null) {
    session.endCalls(agent, "prompt", now);
    session.background.delete(text(data, "background_id"));
    if (text(data, "reason") === null) session.task = text(data, "prompt") ?? session.task;
  }
  agent.move("working", "its turn started");
}

function turnFinished(session, agent, data, now) {
  const interrupted = data.outcome === "interrupted";
  session.endCalls(agent, interrupted ? "interrupt" : "turn", now);
  agent.attention = null;
  agent.summary = text(data, "summary") ?? agent.summary;
  agent.outcome = interrupted ? "interrupted" : "ok";
  agent.ended = now;
  noteDuration(agent, data, now);
  agent.move(agent.id === null ? "idle" : "finished", interrupted ? "its turn was interrupted" : "its turn finished");
  if (agent.id !== null || !Array.isArray(data.background)) return;
  const named = new Map(data.background.filter((task) => text(task, "id")).map((task) => [task.id, task]));
  session.background = new Map([...named].slice(0, MAX_BACKGROUND));
}

function toolCalled(session, agent, data, now) {
  const call = session.findCall(agent, data, true);
  if (call.called) return call;
  call.called = true;
  call.started = call.ended === null ? now : Math.min(now, call.ended);
  const { attention } = agent;
  agent.attention = null;
  if (attention && attention.toolName === call.toolName) call.asked = attention; // the question overtook the call
  if (call.open) {
    session.ended = session.reason = null;
    agent.move("working", `it called ${call.toolName}`);
  }
  return call;
}

function toolFinished(session, agent, data, now) {
  const call = session.findCall(agent, data, false);
  agent.attention = null;
  const outcome = outcomeOf(data);
  if (call.outcome === null || RANKS.indexOf(outcome) > RANKS.indexOf(call.outcome)) {
    Object.assign(call, { outcome, error: text(data, "error"), reason: text(data, "reason") });
  }
  call.ended ??= now;
  call.durationMs = number(data, "duration_ms") ?? call.durationMs;
  const childId = text(data, "child_id");
  if (childId !== null && childId !== agent.id) {
    call.childId = childId;
    const child = session.findAgent({ agent_id: childId }, now);
    if (child.id === childId) Object.assign(child, { parentId: agent.id, parentKnown: true });
  }
  if (agent.state === "new") agent.move("working", `it called ${call.toolName}`);
  return call;
}

function batchFinished(session, agent, data, now) {
  agent.attention = null;
  for (const entry of Array.isArray(data.calls) ? data.calls : []) {
    if (text(entry, "tool_use_id") === null) continue;
    const call = session.findCall(agent, entry, false);
    if (call.batch !== null) continue;
    call.batch = text(entry, "result") ?? "";
    call.refused = entry.refused === true;
    call.ended ??= now;
  }
  if (agent.state === "new") agent.move("working", "its calls ended");
}

function attentionNeeded(session, agent, data, now) {
  const reason = text(data, "reason") ?? "unknown";
  if (reason === "idle") {
    if (agent.state !== "working") return;
    session.endCalls(agent, "idle", now);
    return agent.move("idle", "it waits for a prompt");
  }
  const [message, toolName, summary] = ["message", "tool_name", "summary"].map((field) => text(data, field));
  const attention = { reason, since: now, message, toolName, summary };
  if (ALARMS.includes(reason)) return alarmed(session, agent, { ...attention, toolName: null, summary: null });
  if (toolName === null) {
    // the announcement of what is asked, or of what nothing else tells
    const asked = session.attentions();
    for (const [, one] of asked) one.message ??= message;
    if (!asked.length) agent.attention = { ...attention, summary: null };
    return;
  }
  const named = session.calls.get(text(data, "tool_use_id") ?? "");
  const running = (named ? [named] : session.callsOf(agent.id)).filter(
    (call) => call.open && call.toolName === toolName && !call.asked,
  );
  const call = running.find((one) => one.summary === summary) ?? running.at(-1);
  if (call) call.asked = attention;
  else if (!session.attentions().some(([, one]) => one.toolName === toolName && one.summary === summary)) {
    agent.attention = attention;
  }
}

/** What the gateway concluded, unless later events of the agent came before its report. */
function alarmed(session, agent, alarm) {
  if (alarm.reason === "failed") {
    if (agent.state !== "working") agent.attention = alarm;
  } else if (alarm.since - session.last >= SILENT_AFTER_S / 2) session.silence = alarm;
}

function errorReported(session, agent, data, now) {
  session.endCalls(agent, "error", now);
  agent.attention = null;
  agent.outcome = "failed";
  agent.ended = now;
  noteDuration(agent, data, now);
  agent.summary = text(data, "message") ?? agent.summary;
  agent.move("failed", text(data, "error") ?? "it reported an error");
}

function message(session, agent) {
  if (agent.state === "new") agent.move("working", "it wrote a message");
}

function sessionFinished(session, agent, data, now) {
  session.ended = now;
  session.reason = text(data, "reason") ?? text(data, "status");
  for (const other of [...session.agents.values()]) {
    session.endCalls(other, "session", now);
    session.endChild(other, "session", now);
  }
  const { main } = session;
  if (main.state === "working") Object.assign(main, { outcome: "interrupted", ended: now });
  if (main.state !== "failed") main.move("idle", "the session ended");
  session.background.clear();
}

function usageReported(session, agent, data) {
  const source = text(data, "usage_source") ?? "";
  if (!session.usage.has(source)) session.usage.set(source, { requests: 0, sums: {}, seen: new Set() });
  const usage = session.usage.get(source);
  const request = text(data, "request_id");
  if (request !== null) {
    if (usage.seen.has(request)) return;
    usage.seen.add(request);
    if (usage.seen.size > MAX_REQUESTS) usage.seen.delete(usage.seen.values().next().value);
  }
  usage.requests += 1;
  for (const name of SUMS) usage.sums[name] = (usage.sums[name] ?? 0) + Math.max(number(data, name) ?? 0, 0);
}

const NO_STATE = ["agent.reported", "agent.usage_reported"]; // they say nothing of an agent's state
const HANDLERS = {
  "agent.session_started": sessionStarted,
  "agent.turn_started": turnStarted,
  "agent.turn_finished": turnFinished,
  "agent.tool_called": toolCalled,
  "agent.tool_finished": toolFinished,
  "agent.batch_finished": batchFinished,
  "agent.attention_needed": attentionNeeded,
  "agent.error": errorReported,
  "agent.message": message,
  "agent.session_finished": sessionFinished,
  "agent.reported": () => {},
  "agent.usage_reported": usageReported,
};

function outcomeOf(data) {
  if (typeof data.outcome === "string") return RANKS.includes(data.outcome) ? data.outcome : "unknown";
  return data.success === false ? "failed" : "ok";
}
