/** Exports the shown events: as received JSON, or as CSV that is safe in a spreadsheet. */

import { stringify } from "./json.js";
import { Problems } from "./problems.js";
import { unisolated } from "./visible.js";

const COLUMNS = ["sequence_number", "timestamp", "type", "who", "what", "data", "metadata"];

/** A JSON array of the received events and gaps; `problems` counts those that cannot be written. */
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

/** One line per event (RFC 4180, with a header); a gap has no number and the type `gap`. */
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

/** JSON in which the comma is the only character at which a spreadsheet splits cells. */
function json(value) {
  return stringify(value).replace(/[;|\u0085\u2028\u2029]/g, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/*
 * The start of a formula, also in full-width characters, after characters that a spreadsheet may skip: spaces,
 * quotes, invisible ones. Quotes do not protect a cell: with `;` or a tab as separator, as in most of Europe, a
 * spreadsheet ignores the quotes of a line that is separated by commas.
 */
const FORMULA = /(^|[;|\t\r\n\v\f\u0085\u2028\u2029])(?=[\s"'\u201c\u201d\p{C}]*[=+\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b])/gu;

/** A quoted cell, with an apostrophe before each possible formula. */
function cell(value) {
  const text = String(value ?? "");
  const safe = text.replace(FORMULA, "$1'").replace(/^(?=[\t\r\n])/, "'");
  return `"${safe.replaceAll('"', '""')}"`;
}

/** `sightline-2026-11-22T21-00-00.csv` */
export function fileName(extension, now) {
  return `sightline-${now.toISOString().slice(0, 19).replaceAll(":", "-")}.${extension}`;
}
