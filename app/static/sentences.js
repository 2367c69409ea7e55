/**
 * Events as sentences: `whoOf(event)` is the subject, `whatOf(event)` the rest.
 *
 * Events are untrusted: fields may be missing or of any type. The results are plain text.
 */

import { text } from "./fields.js";
import { unisolated } from "./visible.js";

export const SOMEONE = "Someone";

const words = (value) => text(value).replaceAll("_", " ");
const first = (...values) => values.map((value) => text(value)).find(Boolean) ?? "";
const when = (value, sentence) => (text(value) ? sentence : "");
const quoted = (value) => `“${text(value)}”`;

const thousand = (value) => (Number.isFinite(value) ? thousands.format(value) : text(value));
const thousands = new Intl.NumberFormat("en");

/** `1 file`, `3,000 files`. */
export function count(number, noun) {
  return `${thousands.format(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Milliseconds in readable units: `830 ms`, `5.1 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(ms) {
  if (typeof ms !== "number" || !Number.isFinite(ms)) return "";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function size(bytes) {
  if (!Number.isFinite(bytes)) return "";
  if (bytes < 1000) return ` (${bytes} B)`;
  return bytes < 1e6 ? ` (${(bytes / 1000).toFixed(1)} kB)` : ` (${(bytes / 1e6).toFixed(1)} MB)`;
}

function list(names) {
  const shown = Array.isArray(names) ? names.map((name) => text(name, 40)).filter(Boolean) : [];
  if (shown.length > 4) return `${shown.slice(0, 3).join(", ")} and ${shown.length - 3} more`;
  return shown.length > 1 ? `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}` : shown.join("");
}

const file = (verb) => (d) =>
  `${verb} ${d.is_directory === true ? "folder " : ""}${first(d.path)}${size(d.size)}`;

const tool = (d) => first(d.tool_name, d.tool, d.name) || "a tool";
const asked = (d) =>
  first(d.summary, d.description, d.command, d.path, d.file_path, d.pattern, d.url, d.input, d.prompt, d.task);
const detail = (d) => asked(d) || asked(Object(d.tool_input)); // the input that a coding agent's hook received

/** The sentence by type, from the data and a function that returns a workflow's name. */
const SENTENCES = {
  "workflow.started": (d, name) => `started ${name(d)}${when(d.project, ` in ${text(d.project)}`)}`,
  "workflow.step_completed": (d, name) =>
    `finished step ${text(d.step_index)} of ${text(d.total_steps)} of ${name(d)}: ${text(d.step_name)}`,
  "workflow.finished": (d, name) => {
    const plain = /^(success|succeeded|ok|done|completed?|finished)$/i.test(text(d.status));
    const how = plain ? "" : when(d.status, ` (${words(d.status)})`);
    return `finished ${name(d)} in ${duration(d.duration_ms)}${how}`;
  },
  "workflow.failed": (d, name) =>
    `failed at ${when(d.step_name, `${text(d.step_name)}, a step of `)}${name(d)}: ${text(d.error)}`,

  "chat.message_sent": (d) =>
    `wrote${when(d.agent_name, ` to ${text(d.agent_name)}`)}: ${quoted(d.content)}`,
  "chat.message_received": (d) => `answered: ${quoted(d.content)}`,
  "chat.streaming_chunk": (d) => `is writing: ${quoted(d.chunk)}`,
  "chat.thinking_started": () => "is thinking",
  "chat.thinking_finished": (d) => `thought${when(d.duration_ms, ` for ${duration(d.duration_ms)}`)}`,

  "file.created": file("created"),
  "file.modified": file("modified"),
  "file.deleted": file("deleted"),

  "state.epic_created": (d) => `created epic ${text(d.epic_id)}: ${text(d.title)}`,
  "state.story_created": (d) =>
    `created story ${text(d.story_id)}${when(d.epic_id, ` of epic ${text(d.epic_id)}`)}: ${text(d.title)}`,
  "state.story_transitioned": (d) =>
    `moved story ${text(d.story_id)} from ${words(d.from_state)} to ${words(d.to_state)}` +
    when(d.title, `: ${text(d.title)}`),

  "git.commit_created": (d) => {
    const files = Array.isArray(d.files_changed) ? d.files_changed.length : d.files_changed;
    const changed = Number.isFinite(files) ? ` (${count(files, "file")})` : "";
    const [subject] = typeof d.message === "string" ? d.message.split("\n", 1) : [];
    return `committed ${unisolated(text(d.commit_hash)).slice(0, 7)} ${text(subject)}${changed}`;
  },

  "ceremony.started": (d) =>
    `opened a ${words(d.ceremony_type) || "ceremony"}` +
    (list(d.participants) && ` with ${list(d.participants)}`),
  "ceremony.message": (d) => `said: ${quoted(d.content)}`,
  "ceremony.ended": (d) =>
    `ended the ceremony${when(d.duration_ms, ` after ${duration(d.duration_ms)}`)}` +
    when(d.summary, `: ${text(d.summary)}`),

  "kanban.card_moved": (d) =>
    `moved card ${text(d.card_id)}${when(d.from_column, ` from ${words(d.from_column)}`)}` +
    ` to ${words(d.to_column)}`,
  "kanban.card_updated": (d) => {
    const fields = ["title", "description", "assignee"].filter((field) => text(d[field]));
    return `changed ${list(fields) || "something"} of card ${text(d.card_id)}${when(d.title, `: ${text(d.title)}`)}`;
  },

  "session.mode_changed": (d) =>
    `switched the session${when(d.previous_mode, ` from ${words(d.previous_mode)}`)} to ${words(d.mode)}` +
    when(d.reason, `: ${text(d.reason)}`),
  "provider.changed": (d) =>
    `switched${when(d.previous_provider, ` from ${text(d.previous_provider)}`)} to ${text(d.provider)}` +
    when(d.model, ` (${text(d.model)})`),
  "system.error": (d) => `reported an error: ${text(d.message)}${when(d.code, ` (${text(d.code)})`)}`,

  "system.audit": (d) => `recorded: ${words(d.action)}${when(d.identity, ` (${text(d.identity)})`)}`,

  "agent.session_started": (d) => `started a session${when(detail(d), `: ${detail(d)}`)}`,
  "agent.tool_called": (d) => `called ${tool(d)}${when(detail(d), `: ${detail(d)}`)}`,
  "agent.tool_finished": (d) => {
    const verb = failed(d) ? "did not get through with" : "finished";
    return `${verb} ${tool(d)}${when(d.duration_ms, ` in ${duration(d.duration_ms)}`)}${when(d.error, `: ${text(d.error)}`)}`;
  },
  "agent.message": (d) => `said: ${quoted(first(d.content, d.text, d.message))}`,
  "agent.turn_started": (d) => `began to work${when(d.prompt, ` on: ${text(d.prompt)}`)}`,
  "agent.turn_finished": (d) => `finished its turn${when(first(d.summary, d.reason), `: ${first(d.summary, d.reason)}`)}`,
  "agent.batch_finished": () => "finished a batch of calls",
  "agent.attention_needed": (d) => `needs you${when(first(d.message, d.summary, d.reason), `: ${first(d.message, d.summary, d.reason)}`)}`,
  "agent.usage_reported": (d) =>
    `used ${thousand(d.input_tokens) || "no"} tokens in, ${thousand(d.output_tokens) || "none"} out${when(d.cost_usd, ` for $${text(d.cost_usd)}`)}`,
  "agent.error": (d) => `met an error${when(first(d.message, d.error), `: ${first(d.message, d.error)}`)}`,
  "agent.reported": (d) => `reported ${text(d.kind) || "something"}`,
  "agent.session_finished": (d) =>
    `finished its session${when(d.duration_ms, ` after ${duration(d.duration_ms)}`)}` +
    when(first(d.summary, d.status, d.reason), `: ${first(d.summary, d.status, words(d.reason))}`),
};

/** The sentence of a type outside the catalog: its name in words, and its most important fields. */
function generic(type, d) {
  const telling = first(d.title, d.name, d.message, d.summary, d.content, d.status, d.path);
  const fields = Object.keys(d)
    .filter((key) => text(d[key]))
    .slice(0, 3)
    .map((key) => `${text(key, 60)} ${text(d[key], 60)}`);
  const said = telling || fields.join(", ");
  return `${words(type.slice(type.indexOf(".") + 1))}${said && `: ${said}`}`;
}

/** The subject: the agent, author or source of the event. */
export function whoOf({ type, data, metadata }) {
  const name = (...values) => unisolated(values.map((value) => text(value, 60)).find(Boolean) ?? "");
  const agent = name(metadata?.agent);
  if (agent) return agent;
  if (type === "chat.message_sent") {
    const role = name(data.role); // its `agent_name` is the recipient
    return role ? role[0].toUpperCase() + role.slice(1) : SOMEONE;
  }
  return name(data.author, data.agent_name, data.agent, metadata?.source, data.component) || SOMEONE;
}

/** The sentence without its subject; `workflowName(id)` returns names that the event omits. */
export function whatOf({ type, data }, workflowName = () => undefined) {
  const sentence = Object.hasOwn(SENTENCES, type) ? SENTENCES[type] : undefined;
  const name = (d) => first(d.workflow_name, workflowName(d.workflow_id), d.workflow_id);
  return sentence ? sentence(data, name) : generic(type, data);
}

function failed(data) {
  return data.success === false || data.ok === false || data.is_error === true || Boolean(text(data.error));
}

/** The types whose data say whether they report a failure. */
export const MAY_FAIL = new Set(["agent.tool_finished", "workflow.finished"]);

/** Whether the event reports a failure. */
export function isFailure({ type, data }) {
  if (type === "agent.tool_finished") return failed(data);
  if (type === "workflow.finished") return /^(fail|error|abort|cancel)/i.test(text(data.status));
  return isFailureType(type);
}

/** Whether every event of this type reports a failure. */
export function isFailureType(type) {
  return /(^|_)(failed|failure|error|crashed|refused)$/.test(type.slice(type.indexOf(".") + 1));
}

/** The sentence of a folded burst of file events: `created 12 files in src`. */
export function burstOf(events) {
  const verbs = new Map();
  for (const { type } of events) {
    const verb = type.slice("file.".length);
    verbs.set(verb, (verbs.get(verb) ?? 0) + 1);
  }
  const folder = commonFolder(events.map(({ data }) => (typeof data.path === "string" ? data.path : "")));
  const place = folder && ` in ${text(folder)}`;
  if (verbs.size === 1) return `${[...verbs.keys()][0]} ${count(events.length, "file")}${place}`;
  const parts = [...verbs].map(([verb, number]) => `${number.toLocaleString("en")} ${verb}`);
  return `changed ${count(events.length, "file")}${place}: ${parts.join(", ")}`;
}

function commonFolder(paths) {
  let folder = paths[0].slice(0, paths[0].lastIndexOf("/") + 1);
  for (const path of paths) {
    while (folder && !path.startsWith(folder)) {
      folder = folder.slice(0, folder.lastIndexOf("/", folder.length - 2) + 1);
    }
  }
  return folder.slice(0, -1);
}

const REASONS = {
  slow_consumer: "this page read too slowly",
  not_stored: "the journal could not be written",
  expired: "it was away for longer than the gateway keeps events",
  replay_limit: "more was missed than the gateway replays",
  epoch_changed: "the gateway restarted and its numbers began again",
  undecodable: "this page could not read what the gateway sent",
};

/** A gap as a sentence: how many events were lost, which and why. */
export function gapOf(gap) {
  const why = Object.hasOwn(REASONS, text(gap.reason)) ? REASONS[gap.reason] : text(gap.reason);
  const [from, to] = [text(gap.from_sequence_number), text(gap.to_sequence_number)];
  const lost = typeof gap.dropped === "number" ? count(gap.dropped, "event") : "Events";
  if (!from) return gap.dropped ? `${lost} lost: ${why}` : `Some events may be lost: ${why}`;
  const range = from === to ? `#${from}` : `#${from} to #${to || "?"}`;
  return `${lost} lost, ${range}: ${why}`;
}
