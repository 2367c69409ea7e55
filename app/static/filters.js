/** Which events are shown: parsed from the page's address, written back to it, and matched. */

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

/** The filter as a predicate over feed entries; a gap always passes: it is about the stream. */
export function matcher({ namespaces, type, who, text }) {
  const wanted = new Set(namespaces);
  const needle = text.trim().toLowerCase();
  return (entry) =>
    entry.kind === "gap" ||
    ((wanted.size === 0 || wanted.has(entry.namespace)) &&
      (!type || entry.event.type === type) &&
      (!who || entry.who === who) &&
      // A streamed message is searched as a whole: words are cut anywhere by its chunks.
      (!needle || entry.haystack.includes(needle) || entry.message?.haystack.includes(needle) === true));
}

/** Where `text` contains the search text: `[plain, hit, plain, hit, …, plain]`. */
export function split(text, search) {
  const needle = search.trim().toLowerCase();
  const lower = text.toLowerCase();
  // Lower-casing changes the length of a few letters; then positions would be wrong.
  if (!needle || lower.length !== text.length) return [text];
  const parts = [];
  let from = 0;
  for (let at = lower.indexOf(needle); at !== -1; at = lower.indexOf(needle, from)) {
    parts.push(text.slice(from, at), text.slice(at, at + needle.length));
    from = at + needle.length;
  }
  parts.push(text.slice(from));
  return parts;
}
