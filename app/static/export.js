/** What is shown, as a file: JSON as it came, or CSV that a spreadsheet opens without running it. */

import { stringify } from "./json.js";
import { Problems } from "./problems.js";
import { unisolated } from "./visible.js";

const COLUMNS = ["sequence_number", "timestamp", "type", "who", "what", "data", "metadata"];

/** An array of the events and gaps as they came over the wire; `problems` counts what cannot be written. */
export function toJson(entries, problems = new Problems()) {
  const written = entries.map((entry) =>
    problems.guard(
      "the export of an event",
      () => stringify(entry.event ?? entry.gap ?? entry.item),
      () => `{"type":"export_failed","index":${entry.index}}`,
    ),
  );
  return `[${written.map((one) => `\n ${one}`).join(",")}\n]\n`;
}

/** One line an event (RFC 4180, with a header); a gap has no number and type `gap`. */
export function toCsv(entries, problems = new Problems()) {
  const lines = entries.map((entry) =>
    problems.guard(
      "the export of an event",
      () => lineOf(entry),
      () => ["", "", "export_failed", "", entry.what, "", ""],
    ),
  );
  return [COLUMNS, ...lines].map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}

function lineOf(entry) {
  if (entry.kind !== "event") return ["", "", entry.kind, "", entry.what, json(entry.gap ?? entry.item), ""];
  const { sequence_number: number, timestamp, type, data, metadata } = entry.event;
  return [number, timestamp, type, entry.who, unisolated(entry.what), json(data), json(metadata)];
}

/** JSON that holds no character at which any spreadsheet splits cells, but for the comma. */
function json(value) {
  return stringify(value).replace(/[;|\u0085\u2028\u2029]/g, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/*
 * What a spreadsheet takes for a formula, also in full width, after anything that it may skip: spaces, quotes,
 * characters that do not show. A cell may begin not only at its quote: where the separator is `;` or a tab,
 * as in most of Europe, the quotes of a line that is separated by commas protect nothing.
 */
const FORMULA = /(^|[;|\t\r\n\v\f\u0085\u2028\u2029])(?=[\s"'\u201c\u201d\p{C}]*[=+\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b])/gu;

/** A quoted cell, with an apostrophe in front of everything that could be a formula. */
function cell(value) {
  const text = String(value ?? "");
  const safe = text.replace(FORMULA, "$1'").replace(/^(?=[\t\r\n])/, "'");
  return `"${safe.replaceAll('"', '""')}"`;
}

/** `sightline-2026-11-22T21-00-00.csv` */
export function fileName(extension, now) {
  return `sightline-${now.toISOString().slice(0, 19).replaceAll(":", "-")}.${extension}`;
}
