/** What a session has done: its last words, the files it changed, its commits. Pure; from events alone. */

import { text } from "./evidence.js";

const MOST_FILES = 1000;
const MOST_COMMITS = 200;
const LONGEST_MESSAGE = 2000;
const EDITS = new Set(["Edit", "MultiEdit", "Write", "NotebookEdit", "apply_patch"]);
const PATCHED = /^\*\*\* (?:Update|Add|Delete) File: (.+)$/gm;
const COMMITTED = /^\[[^\]\n]{1,200} ([0-9a-f]{7,40})\] (.{0,500})$/gm; // what `git commit` prints

/** Whether a tool writes files. */
export const isEdit = (toolName) => EDITS.has(toolName);

/** The paths that a call of a tool writes to. */
export function pathsOf({ tool_name: toolName, tool_input: input }) {
  if (!isEdit(toolName)) return [];
  const path = text(input, "file_path") ?? text(input, "notebook_path") ?? text(input, "path");
  if (path) return [path];
  const patch = text(input, "command") ?? text(input, "input") ?? "";
  return [...patch.matchAll(PATCHED)].map(([, name]) => name.trim());
}

/** What a call printed: `{stdout, stderr}`; the agents' own fields, each may be missing. */
export function outputOf({ details }) {
  const response = details?.tool_response;
  if (typeof response === "string") return { stdout: response, stderr: "" };
  return { stdout: text(response, "stdout") ?? "", stderr: text(response, "stderr") ?? "" };
}

export class Facts {
  constructor() {
    this.message = "";
    this.files = new Set();
    this.commits = new Map(); // hash to subject
    this._messageId = null;
  }

  /** Take an event of the session. */
  observe({ type, data }) {
    if (type === "agent.message") this._say(data);
    if (type === "agent.turn_started" && !data.agent_id) this.message = "";
    if (type !== "agent.tool_finished" || data.success === false || (data.outcome ?? "ok") !== "ok") return;
    for (const path of pathsOf(data)) if (this.files.size < MOST_FILES) this.files.add(path);
    if (!/\bgit\b/.test(text(data.tool_input, "command") ?? text(data, "summary") ?? "")) return;
    for (const [, hash, subject] of outputOf(data).stdout.matchAll(COMMITTED)) {
      if (this.commits.size < MOST_COMMITS) this.commits.set(hash, subject);
    }
  }

  _say(data) {
    const content = text(data, "content");
    if (content === null || data.agent_id) return;
    const id = text(data, "message_id");
    const more = id !== null && id === this._messageId;
    this._messageId = id;
    this.message = ((more ? this.message : "") + content).slice(-LONGEST_MESSAGE);
  }
}
