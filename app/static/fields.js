/** Reads fields of events. They are untrusted: each may be missing or of any type. Nothing here throws. */

import { ExactNumber, stringify } from "./json.js";
import { isolated, visible } from "./visible.js";

const LONGEST = 300; // characters of one field; an open row shows the whole field
const LONGEST_KEY = 256;

/** A field as one line of text; empty unless it is text, a number or a boolean. */
export function text(value, longest = LONGEST) {
  if (value instanceof ExactNumber) return value.source.slice(0, longest);
  if (Number.isFinite(value) || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return "";
  const line = value.slice(0, longest * 2).replace(/\s+/g, " ").trim();
  return isolated(visible(line.length > longest ? `${cut(line, longest)}…` : line));
}

/** The first `length` characters, without half a surrogate pair. */
export function cut(line, length) {
  return line.slice(0, length).replace(/[\ud800-\udbff]$/, "");
}

/** A field as a finite number; 0 for everything else. */
export function numberOf(value) {
  return Number.isFinite(value) ? value : 0;
}

/** An id of any type as the key of a `Map`: 7 and "7" are the same id. */
export function keyOf(id) {
  const key = typeof id === "string" ? id : stringify(id ?? null);
  return key.length > LONGEST_KEY ? `${key.slice(0, LONGEST_KEY)} ${key.length}` : key;
}
