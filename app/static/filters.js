/** The filter of the shown events: parsed from and written to the page's address, and matched. */

import { stringify } from "./json.js";
import { visible } from "./visible.js";

export const NO_FILTER = Object.freeze({ namespaces: Object.freeze([]), type: "", who: "", text: "", failed: false });

/** The filter in an address's fragment, such as `#ns=git,file&who=Ada&q=parser`. */
export function parseFilter(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const namespaces = (fields.get("ns") ?? "").split(",").filter((name) => /^[a-z][a-z0-9_]*$/.test(name));
  return {
    namespaces: [...new Set(namespaces)].sort(),
    type: fields.get("type") ?? "",
    who: fields.get("who") ?? "",
    text: fields.get("q") ?? "",
    failed: fields.get("failed") === "1",
  };
}

/** The fragment of a filter, without `#`; empty for none. The fragment is never sent or logged. */
export function formatFilter({ namespaces, type, who, text, failed }) {
  const fields = new URLSearchParams();
  if (namespaces.length) fields.set("ns", namespaces.join(","));
  if (type) fields.set("type", type);
  if (who) fields.set("who", who);
  if (text) fields.set("q", text);
  if (failed) fields.set("failed", "1");
  return fields.toString().replaceAll("%2C", ",");
}

/** Whether a filter matches everything. */
export function isEmpty(filter) {
  return formatFilter(filter) === "";
}

/** The words of a search, and its phrases in quotes: `{term, quoted}`. An event has to hold all of them. */
export function termsOf(search) {
  const found = [...search.matchAll(/"([^"]*)"|(\S+)/g)].map(([, phrase, word]) => ({
    term: (phrase ?? word).trim(),
    quoted: phrase !== undefined,
  }));
  return found.filter(({ term }) => term);
}

/** The terms of a search as they occur in haystacks: in lower case, with visible characters. */
export function needlesOf(search) {
  return termsOf(search).map(({ term }) => visible(term).toLowerCase());
}

/** The filter as a predicate over entries; all that is no event always matches. */
export function matcher({ namespaces, type, who, text, failed }) {
  const wanted = new Set(namespaces);
  const needles = needlesOf(text);
  // A streamed message is searched as a whole, because its chunks may split words.
  const holds = ({ haystack, message }, needle) =>
    haystack.includes(needle) || message?.haystack.includes(needle) === true;
  return (entry) =>
    entry.kind !== "event" ||
    ((wanted.size === 0 || wanted.has(entry.namespace)) &&
      (!type || entry.event.type === type) &&
      (!who || entry.who === who) &&
      (!failed || entry.failure) &&
      // the journal finds words, and also without their accents
      (entry.found === text || needles.every((needle) => holds(entry, needle))));
}

/** Where a search's needle was found outside the row's own text: "data", "metadata", "type", or "". */
export function hiddenPlace(entry, needle) {
  const shown = (text) => text.toLowerCase().includes(needle);
  if (!needle || !entry.haystack.includes(needle)) return "";
  if (shown(entry.event.type)) return "type";
  if (shown(visible(stringify(entry.event.data)))) return "data";
  return shown(visible(stringify(entry.event.metadata))) ? "metadata" : "data";
}

/** `text` split at the search hits: `[plain, hit, plain, hit, …, plain]`. */
export function split(text, search) {
  const terms = termsOf(search).map(({ term }) => term);
  if (!terms.length) return [text];
  const needles = [search.trim(), ...terms].map((term) => visible(term).replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  // Not by lower-casing both texts: that changes the length of some letters, and so later positions.
  // The longest term first: a shorter one may be its beginning.
  const hit = new RegExp(`(${needles.sort((a, b) => b.length - a.length).join("|")})`, "giu");
  return text.split(hit);
}
