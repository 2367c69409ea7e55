/** The filter of the shown events: parsed from and written to the page's address, and matched. */

import { stringify } from "./json.js";
import { visible } from "./visible.js";

export const NO_FILTER = Object.freeze({ namespaces: Object.freeze([]), type: "", who: "", text: "" });

/** The filter in an address's fragment, such as `#ns=git,file&who=Ada&q=parser`. */
export function parseFilter(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const namespaces = (fields.get("ns") ?? "").split(",").filter((name) => /^[a-z][a-z0-9_]*$/.test(name));
  return {
    namespaces: [...new Set(namespaces)].sort(),
    type: fields.get("type") ?? "",
    who: fields.get("who") ?? "",
    text: fields.get("q") ?? "",
  };
}

/** The fragment of a filter, without `#`; empty for none. The fragment is never sent or logged. */
export function formatFilter({ namespaces, type, who, text }) {
  const fields = new URLSearchParams();
  if (namespaces.length) fields.set("ns", namespaces.join(","));
  if (type) fields.set("type", type);
  if (who) fields.set("who", who);
  if (text) fields.set("q", text);
  return fields.toString().replaceAll("%2C", ",");
}

/** Whether a filter matches everything. */
export function isEmpty(filter) {
  return formatFilter(filter) === "";
}

/** The search text as it occurs in haystacks: in lower case, with visible characters. */
export function needleOf(search) {
  return visible(search.trim()).toLowerCase();
}

/** The filter as a predicate over entries; gaps and broken entries always match. */
export function matcher({ namespaces, type, who, text }) {
  const wanted = new Set(namespaces);
  const needle = needleOf(text);
  return (entry) =>
    entry.kind !== "event" ||
    ((wanted.size === 0 || wanted.has(entry.namespace)) &&
      (!type || entry.event.type === type) &&
      (!who || entry.who === who) &&
      // A streamed message is searched as a whole, because its chunks may split words.
      (!needle || entry.haystack.includes(needle) || entry.message?.haystack.includes(needle) === true));
}

/** Where the search text was found outside the row's own text: "data", "metadata", "type", or "". */
export function hiddenPlace(entry, search) {
  const needle = needleOf(search);
  const shown = (text) => text.toLowerCase().includes(needle);
  if (!needle || !entry.haystack.includes(needle)) return "";
  if (shown(entry.event.type)) return "type";
  if (shown(visible(stringify(entry.event.data)))) return "data";
  return shown(visible(stringify(entry.event.metadata))) ? "metadata" : "data";
}

/** `text` split at the search hits: `[plain, hit, plain, hit, …, plain]`. */
export function split(text, search) {
  const needle = visible(search.trim());
  if (!needle) return [text];
  // Not by lower-casing both texts: that changes the length of some letters, and so later positions.
  const hit = new RegExp(`(${needle.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")})`, "giu");
  return text.split(hit);
}
