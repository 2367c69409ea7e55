/**
 * Tool calls as rows of the feed: a call and its result are one row, and a run of like calls is one row. Pure.
 *
 * A run is of one agent and one tool (of one command, for a tool that runs commands), without anything else by that agent in between. It depends only on what the
 * newest entries of a row are, so that a view that was made anew has the same rows as one that grew.
 */

import { text as line } from "../fields.js";
import { duration } from "../sentences.js";
import { text } from "./evidence.js";
import { shortened } from "./names.js";

const RUN_PAUSE_MS = 60_000; // a longer pause ends a run,
const RUN_DISTANCE = 60; // so do more other events in between,
const MOST_IN_RUN = 200; // or more entries
const MOST_KNOWN = 5000;
const MOST_ARGUMENTS = 3; // that the words of a run name

const agentOf = ({ data }) => `${text(data, "session_id") ?? ""}\n${text(data, "agent_id") ?? ""}`;
const idOf = (data) => text(data, "tool_use_id") ?? text(data, "call_id");
const isCommand = ({ data }) => text(data.tool_input, "command") !== null || text(data, "tool_name") === "Bash";
const toolOf = ({ data }) => text(data, "tool_name") ?? "unknown";

export class CallRows {
  /** `append(entry)` makes a row, `join(row, entry)` adds to one. */
  constructor({ append, join }) {
    Object.assign(this, { _append: append, _join: join });
    this._byCall = new Map(); // the row of each call
    this._latest = new Map(); // the row of each agent's newest calls
  }

  /** Place an event of an agent; false if it is not about calls, and so ends its agent's run. */
  place(entry) {
    const { type, data } = entry.event;
    const agent = agentOf(entry.event);
    if (type === "agent.batch_finished") return this._batch(entry, data, agent);
    if (type !== "agent.tool_called" && type !== "agent.tool_finished") {
      if (type !== "agent.usage_reported") this._latest.delete(agent);
      return false;
    }
    const id = idOf(data);
    const key = id && `${agent.split("\n", 1)[0]}\n${id}`;
    const known = key && alive(this._byCall.get(key));
    if (known) {
      this._join(known, entry);
      return true;
    }
    let row = alive(this._latest.get(agent));
    if (row && continues(row, entry)) this._join(row, entry);
    else row = this._append(entry);
    if (key) put(this._byCall, key, row);
    put(this._latest, agent, row);
    return true;
  }

  /** A batch only repeats what its calls said, unless it is the first to name one. */
  _batch(entry, data, agent) {
    const ids = Array.isArray(data.calls) ? data.calls.map((call) => text(call, "tool_use_id")) : [];
    const rows = ids.map((id) => id && alive(this._byCall.get(`${agent.split("\n", 1)[0]}\n${id}`)));
    const row = rows.findLast(Boolean);
    if (row && rows.every(Boolean)) this._join(row, entry);
    else this._latest.delete(agent);
    return Boolean(row && rows.every(Boolean));
  }
}

const alive = (row) => (row?.entries.length ? row : undefined);

function continues(row, entry) {
  const last = row.entries.at(-1);
  return (
    row.entries.length < MOST_IN_RUN &&
    toolOf(last.event) === toolOf(entry.event) &&
    (!isCommand(last.event) || last.event.data.summary === entry.event.data.summary) &&
    last.event.type !== "agent.batch_finished" &&
    entry.index - last.index <= RUN_DISTANCE &&
    entry.time - last.time <= RUN_PAUSE_MS
  );
}

function put(map, key, value) {
  map.delete(key);
  map.set(key, value);
  if (map.size > MOST_KNOWN) map.delete(map.keys().next().value);
}

/** The calls of a row, in order: `{id, called, finished, batch, state, why}`, the first two are events. */
export function callsOf(row) {
  const calls = new Map();
  for (const [i, { event }] of row.entries.entries()) {
    if (event.type === "agent.batch_finished") {
      for (const part of event.data.calls ?? []) if (calls.has(text(part, "tool_use_id"))) calls.get(part.tool_use_id).batch = part;
      continue;
    }
    const id = idOf(event.data) ?? `#${i}`;
    if (!calls.has(id)) calls.set(id, { id, batch: null });
    calls.get(id)[event.type === "agent.tool_called" ? "called" : "finished"] = event;
  }
  for (const call of calls.values()) Object.assign(call, judged(call));
  return [...calls.values()];
}

/** As far as one row can tell; the reducer knows more of the session. */
function judged({ finished, batch }) {
  if (finished) {
    const { outcome, success } = finished.data;
    return { state: text(finished.data, "outcome") ?? (success === false || text(finished.data, "error") ? "failed" : outcome ? "unknown" : "ok"), why: "" };
  }
  if (batch) return { state: batch.refused === true ? "failed" : "denied", why: line(batch.result) };
  return { state: "", why: "" };
}

const isBad = ({ state }) => !["", "ok"].includes(state);

/** Whether a call of the row failed. */
export const failedIn = (row) => callsOf(row).some(isBad);

/** A call in words: `Bash: make test, 3.4 s`. */
export const callSentence = (call) => joined(callParts(call));

/** A row of calls in words: `Grep ×14, 3.2 s, 1 failed: src, docs, tests, …`. */
export const callsSentence = (row) => joined(callsParts(row));

const joined = (parts) => parts.map(([words]) => words).join("");

/** A call as `[words, kind]`: kind "tool", "argument", "took", "bad" or "". */
export function callParts({ called, finished, state, why }) {
  const data = { ...called?.data, ...finished?.data };
  const argument = argumentWords({ called, finished });
  const took = duration(data.duration_ms);
  const parts = [[line(data.tool_name ?? "a tool", 60), "tool"]];
  if (!state) parts.unshift(["called ", ""]);
  if (argument) parts.push([": ", ""], [argument, "argument"]);
  if (state === "ok" && took) parts.push([`, ${took}`, "took"]);
  if (!state || state === "ok") return parts;
  const error = (text(data, "error") ?? why).replace(/^Exit code (\d+)\s*/, "exit $1: ");
  return [...parts, [` ${line(state)}${took && ` after ${took}`}`, "bad"], ...(error ? [[`: ${line(error)}`, "bad"]] : [])];
}

function argumentWords({ called, finished }) {
  const data = { ...called?.data, ...finished?.data };
  const [first] = Object.values(Object(data.tool_input)).filter((value) => typeof value === "string");
  return shortened(line(data.summary) || line(first), text(data, "folder"));
}

/** A row of calls as `[words, kind]`, see `callParts`. */
export function callsParts(row) {
  const calls = callsOf(row);
  if (calls.length < 2) return calls.length ? callParts(calls[0]) : [["finished a batch of calls", ""]];
  const ms = calls.map(({ finished }) => finished?.data.duration_ms).filter(Number.isFinite);
  const bad = calls.filter(isBad).length;
  const open = calls.filter(({ state }) => !state).length;
  const parts = [[`${line(toolOf(calls[0].called ?? calls[0].finished), 60)} ×${calls.length}`, "tool"]];
  if (ms.length) parts.push([`, ${duration(ms.reduce((sum, one) => sum + one, 0))}`, "took"]);
  if (bad) parts.push([`, ${bad} failed`, "bad"]);
  if (open) parts.push([`, ${open} without a result yet`, "took"]);
  const arguments_ = [...new Set(calls.map(argumentWords))].filter(Boolean);
  const named = arguments_.slice(0, MOST_ARGUMENTS).join(", ") + (arguments_.length > MOST_ARGUMENTS ? ", …" : "");
  return named ? [...parts, [": ", ""], [named, "argument"]] : parts;
}
