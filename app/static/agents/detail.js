/** An opened call or event by its kind: a diff, a terminal, files, a plan. All content becomes text nodes. */

import { element } from "../dom.js";
import { cut, text as line } from "../fields.js";
import { count, duration } from "../sentences.js";
import { visible } from "../visible.js";
import { countOf, diffOf } from "./diff.js";
import { text } from "./evidence.js";
import { outputOf, pathsOf } from "./facts.js";
import { relative } from "./names.js";

const LONGEST_OUTPUT = 100_000;
const MOST_FILES = 500;
const MARKS = { done: "✓", completed: "✓", in_progress: "▸" };

/**
 * The parts of a detail for a call of a tool: `called` and `finished` are its events, each may be missing;
 * `state` and `why` are how it is judged. Empty for a call without a view of its own.
 */
export function callDetail({ called, finished, batch, state, why }) {
  const data = { ...called?.data, ...finished?.data };
  const folder = text(data, "folder");
  const parts = [];
  const diff = diffOf(data);
  const command = text(data.tool_input, "command");
  const isPatch = data.tool_name === "apply_patch";
  if (diff) parts.push(diffBlock(diff, pathsOf(data), folder));
  else if (command !== null) parts.push(terminal(data, { state, batch }));
  else parts.push(...generic(data, folder));
  const error = text(data, "error");
  if (error && (command === null || isPatch)) parts.push(block("Error", error, "bad"));
  if (why && why !== "reported by the agent" && state !== "ok") parts.push(element("p", { class: "why", "data-testid": "call-why" }, `${state}: ${line(why, 600)}`));
  if (data.truncated && typeof data.truncated === "object") {
    const cuts = Object.entries(data.truncated).map(([path, length]) => `${line(path, 80)} of ${line(length)}`);
    parts.push(element("p", { class: "by" }, `Cut by the gateway: ${cuts.slice(0, 4).join(", ")}`));
  }
  return parts;
}

/** The parts for other events that have a view of their own, else an empty list. */
export function eventDetail({ type, data }, folder) {
  if (type === "git.commit_created") return [commit(data)];
  const said = text(data, "content") ?? text(data, "prompt") ?? text(data, "summary") ?? text(data, "message");
  if (type.startsWith("agent.") && said !== null && type !== "agent.attention_needed") return [prose(said)];
  if (type === "agent.attention_needed") return [...(said ? [prose(said)] : []), ...generic(data, folder ?? text(data, "folder"))];
  return [];
}

export function prose(said) {
  return element("p", { class: "prose" }, bounded(said));
}

function diffBlock(diff, paths, folder) {
  const { added, removed } = countOf(diff);
  const names = paths.map((path) => line(relative(path, folder), 200));
  return element(
    "figure",
    { class: "diff", "data-testid": "diff" },
    element("figcaption", {}, element("span", { class: "path" }, names.join(", ")), element("span", { class: "added" }, `+${added}`), element("span", { class: "removed" }, `−${removed}`)),
    element("pre", {}, element("code", {}, ...diff.map((one) => element("span", { class: `diff-line ${one.kind}` }, `${sign(one.kind)}${visible(one.text)}\n`)))),
  );
}

const sign = (kind) => ({ add: "+ ", remove: "− ", same: "  ", hunk: "" })[kind];

function terminal(data, { state, batch }) {
  const { stdout, stderr } = outputOf(data);
  const error = text(data, "error") ?? "";
  const status = /^Exit code (\d+)\n?/.exec(error)?.[1];
  const failure = status === undefined ? error : error.slice(error.indexOf("\n") + 1 || error.length);
  const output = [];
  if (stdout) output.push(element("span", { class: "stdout" }, `${bounded(stdout)}\n`));
  if (stderr) output.push(element("span", { class: "stderr" }, `${bounded(stderr)}\n`));
  if (failure) output.push(element("span", { class: "stderr" }, `${bounded(failure)}\n`));
  if (!output.length && batch?.result) output.push(element("span", { class: "stdout" }, `${bounded(text(batch, "result") ?? "")}\n`));
  const foot = [status === undefined ? state : `exit ${status}`, duration(data.duration_ms)].filter(Boolean);
  return element(
    "figure",
    { class: "terminal", "data-testid": "terminal" },
    element("pre", {}, element("code", {}, element("span", { class: "prompt" }, "$ "), `${bounded(text(data.tool_input, "command"))}\n`, ...output)),
    element("figcaption", { class: state }, foot.join(", "), text(data.tool_input, "description") ? element("span", {}, line(data.tool_input.description)) : ""),
  );
}

/** The input as fields, and what came out of it as text, a list of files or a plan. */
function generic(data, folder) {
  const parts = [];
  const input = Object.entries(Object(data.tool_input)).filter(([name]) => name !== "todos");
  const todos = data.tool_input?.todos;
  if (Array.isArray(todos)) parts.push(plan(todos));
  if (input.length) {
    const shown = (value) => (typeof value === "string" ? relative(bounded(value), folder) : bounded(JSON.stringify(value) ?? ""));
    parts.push(element("dl", { class: "fields" }, ...input.map(([name, value]) => element("div", {}, element("dt", {}, line(name, 60)), element("dd", {}, shown(value))))));
  }
  const response = data.details?.tool_response;
  if (Array.isArray(response?.filenames)) parts.push(files(response.filenames, folder));
  const output = said(response);
  if (output) parts.push(block("Result", output));
  return parts;
}

/** The text of a response in the shapes that agents use. */
function said(response) {
  if (typeof response === "string") return response;
  if (Array.isArray(response)) return response.map((part) => text(part, "text") ?? "").filter(Boolean).join("\n");
  if (Array.isArray(response?.content)) return said(response.content);
  return text(response?.file, "content") ?? text(response, "content") ?? text(response, "result") ?? text(response, "stdout") ?? "";
}

function plan(todos) {
  const item = (todo) => element("li", { class: line(todo?.status, 20) }, `${MARKS[todo?.status] ?? "○"} ${line(todo?.content ?? todo?.subject)}`);
  return element("ul", { class: "plan" }, ...todos.slice(0, MOST_FILES).map(item));
}

function files(names, folder) {
  const shown = names.slice(0, MOST_FILES).filter((name) => typeof name === "string");
  return element("ul", { class: "files", "data-testid": "files" }, ...shown.map((name) => element("li", {}, line(relative(name, folder), 400))));
}

function commit(data) {
  const hash = text(data, "commit_hash") ?? "";
  const names = Array.isArray(data.files_changed) ? data.files_changed : [];
  const [subject, ...rest] = (text(data, "message") ?? "").split("\n");
  return element(
    "figure",
    { class: "commit", "data-testid": "commit" },
    element("figcaption", {}, element("a", { href: `#q=${encodeURIComponent(hash)}`, title: "Show the events that name this commit" }, line(hash).slice(0, 12)), element("b", {}, line(subject)), element("span", {}, line(data.author, 60))),
    ...(rest.join("\n").trim() ? [prose(rest.join("\n").trim())] : []),
    ...(names.length ? [element("p", { class: "by" }, count(names.length, "file")), files(names)] : []),
  );
}

function block(label, content, kind = "") {
  return element("figure", { class: `block ${kind}` }, element("figcaption", {}, label), element("pre", {}, element("code", {}, bounded(content))));
}

function bounded(content) {
  const shown = visible(content);
  return shown.length > LONGEST_OUTPUT ? `${cut(shown, LONGEST_OUTPUT)}\n… ${shown.length - LONGEST_OUTPUT} more characters: see the JSON` : shown;
}

/** The calls of a row of the feed: one opened, several as a list; `words(call)` are nodes, `raw(event)` draws its JSON. */
export function callsDetail(calls, words, raw) {
  const open = (call) => [...callDetail(call), json([call.called, call.finished].filter(Boolean), raw)];
  if (calls.length === 1) return open(calls[0]);
  const items = calls.map((call) => {
    const item = element("details", { "data-state": call.state }, element("summary", {}, element("span", { class: "what" }, ...words(call))));
    item.addEventListener("toggle", () => item.append(...open(call)), { once: true });
    return item;
  });
  return [element("div", { class: "members", "data-testid": "members" }, ...items)];
}

/** The JSON of events behind a toggle; `open` where a search found something in it. */
export function json(events, raw, open = false) {
  return element("details", { class: "raw", "data-testid": "raw", open: open ? "" : undefined }, element("summary", {}, "JSON"), ...events.map(raw));
}
