/** Which events are shown: parsed from the page's address, written back to it, and matched. */

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

/** Whether a filter lets everything through. */
export function isEmpty(filter) {
  return formatFilter(filter) === "";
}

/** What to look for in a haystack: the search text as entries are searched, in lower case and visible. */
export function needleOf(search) {
  return visible(search.trim()).toLowerCase();
}

/** The filter as a predicate over feed entries; a gap always passes, and so does what cannot be shown. */
export function matcher({ namespaces, type, who, text }) {
  const wanted = new Set(namespaces);
  const needle = needleOf(text);
  return (entry) =>
    entry.kind !== "event" ||
    ((wanted.size === 0 || wanted.has(entry.namespace)) &&
      (!type || entry.event.type === type) &&
      (!who || entry.who === who) &&
      // A streamed message is searched as a whole: words are cut anywhere by its chunks.
      (!needle || entry.haystack.includes(needle) || entry.message?.haystack.includes(needle) === true));
}

/** Where the search text stands that the row of `entry` does not show: "data", "metadata", "type", or "". */
export function hiddenPlace(entry, search) {
  const needle = needleOf(search);
  const shown = (text) => text.toLowerCase().includes(needle);
  if (!needle || !entry.haystack.includes(needle)) return "";
  if (shown(entry.event.type)) return "type";
  if (shown(visible(stringify(entry.event.data)))) return "data";
  return shown(visible(stringify(entry.event.metadata))) ? "metadata" : "data";
}

/** Where `text` contains the search text: `[plain, hit, plain, hit, …, plain]`. */
export function split(text, search) {
  const needle = visible(search.trim());
  if (!needle) return [text];
  // Not by lower-casing both: that changes the length of some letters, and so the positions after them.
  const hit = new RegExp(`(${needle.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")})`, "giu");
  return text.split(hit);
}
