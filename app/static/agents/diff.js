/** Line diffs of what agents write. Pure. A line is `{kind, text}`: "same", "add", "remove" or "hunk". */

import { text } from "./evidence.js";

const MOST_COMPARED = 300; // lines of each side; more are shown as removed and added whole
const MOST_LINES = 2000;
const KINDS = { "+": "add", "-": "remove", " ": "same" };

/** The diff of an edit's event, or null where the call is not an edit that can be read. */
export function diffOf({ tool_name: toolName, tool_input: input, details }) {
  const patch = details?.tool_response?.structuredPatch;
  if (Array.isArray(patch) && patch.length) return bounded(patch.flatMap(hunk));
  if (toolName === "apply_patch" || /^\*\*\* Begin Patch/.test(text(input, "command") ?? "")) {
    return bounded(patchLines(text(input, "command") ?? text(input, "input") ?? ""));
  }
  const edits = Array.isArray(input?.edits) ? input.edits : [input];
  const found = edits.flatMap((edit) => {
    const [before, after] = [edit?.old_string, edit?.new_string ?? edit?.content ?? edit?.new_source];
    return typeof after === "string" ? lines(typeof before === "string" ? before : "", after) : [];
  });
  return found.length ? bounded(found) : null;
}

/** How many lines a diff adds and removes. */
export function countOf(diff) {
  const count = (kind) => diff.filter((line) => line.kind === kind).length;
  return { added: count("add"), removed: count("remove") };
}

function hunk(one) {
  const given = Array.isArray(one?.lines) ? one.lines.filter((line) => typeof line === "string") : [];
  const head = { kind: "hunk", text: `@@ -${Number(one?.oldStart) || 0} +${Number(one?.newStart) || 0} @@` };
  return [head, ...given.map((line) => ({ kind: KINDS[line[0]] ?? "hunk", text: line.slice(1) }))];
}

function patchLines(patch) {
  return patch.split("\n").map((line) => {
    if (/^(\*\*\*|@@)/.test(line)) return { kind: "hunk", text: line };
    return KINDS[line[0]] ? { kind: KINDS[line[0]], text: line.slice(1) } : { kind: "same", text: line };
  });
}

/** The diff of two texts, by their longest common subsequence of lines. */
export function lines(before, after) {
  const [a, b] = [before, after].map((whole) => (whole ? whole.replace(/\n$/, "").split("\n") : []));
  if (a.length > MOST_COMPARED || b.length > MOST_COMPARED) {
    return [...a.map((line) => ({ kind: "remove", text: line })), ...b.map((line) => ({ kind: "add", text: line }))];
  }
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const found = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      found.push({ kind: "same", text: a[i] });
      i += 1;
      j += 1;
    } else if (i < a.length && (j === b.length || common[i + 1][j] >= common[i][j + 1])) {
      found.push({ kind: "remove", text: a[i] });
      i += 1;
    } else {
      found.push({ kind: "add", text: b[j] });
      j += 1;
    }
  }
  return found;
}

function bounded(all) {
  if (all.length <= MOST_LINES) return all;
  return [...all.slice(0, MOST_LINES), { kind: "hunk", text: `… ${all.length - MOST_LINES} more lines` }];
}
