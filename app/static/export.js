/** What is shown, as a file: JSON as it came, or CSV that a spreadsheet opens without running it. */

const COLUMNS = ["sequence_number", "timestamp", "type", "who", "what", "data", "metadata"];

/** An array of the events and gaps as they came over the wire. */
export function toJson(entries) {
  return `${JSON.stringify(entries.map(({ event, gap }) => event ?? gap), null, 1)}\n`;
}

/** One line an event (RFC 4180, with a header); a gap has no number and type `gap`. */
export function toCsv(entries) {
  const lines = entries.map((entry) => {
    if (entry.kind === "gap") return ["", "", "gap", "", entry.what, JSON.stringify(entry.gap), ""];
    const { sequence_number: number, timestamp, type, data, metadata } = entry.event;
    return [number, timestamp, type, entry.who, entry.what, JSON.stringify(data), JSON.stringify(metadata)];
  });
  return [COLUMNS, ...lines].map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}

/** Quoted; what a spreadsheet would take for a formula gets an apostrophe in front. */
function cell(value) {
  const text = String(value);
  const safe = /^\s*[=+\-@]|^[\t\r\n]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

/** `sightline-2026-11-22T21-00-00.csv` */
export function fileName(extension, now) {
  return `sightline-${now.toISOString().slice(0, 19).replaceAll(":", "-")}.${extension}`;
}
