/**
 * The rows on show: the entries that pass the filter, with what belongs together folded into one.
 *
 * A row is `{key, kind, entry, entries, version}`: `kind` is "event", "gap", "burst" (file events
 * in quick succession), "commit" (with the file events around it) or "message" (chunks of one chat
 * message); `entry` is the one that the row speaks for; `version` goes up when it changes.
 */

import { matcher, NO_FILTER } from "./filters.js";

const BURST_PAUSE_MS = 1000; // a longer pause between two file events ends a burst
const BURST_MS = 10_000; // and so does a longer burst,
const MOST_IN_BURST = 1000; // or a bigger one
const COMMIT_MS = 3000; // file events this shortly before a commit are taken to be its own

export class View {
  constructor(filter = NO_FILTER) {
    this.rows = [];
    this.shown = 0; // entries in all rows
    this.filter = filter;
    this._matches = matcher(filter);
    this._messages = new Map(); // the row of each message
    this._burst = null; // {row, time}: what the next file event may join
  }

  /** A view of `entries` afresh. */
  static of(entries, filter) {
    const view = new View(filter);
    for (const entry of entries) view.push(entry);
    return view;
  }

  matches(entry) {
    return this._matches(entry);
  }

  /** Take in a newer entry; returns whether it is shown. */
  push(entry) {
    entry.row = undefined;
    if (!this._matches(entry)) return false;
    if (entry.message) this._message(entry);
    else if (entry.kind === "gap") this._append("gap", entry);
    else if (entry.namespace === "file") this._file(entry);
    else if (entry.event.type === "git.commit_created") this._commit(entry);
    else this._append("event", entry);
    return true;
  }

  /** Take out the oldest entries, as the feed folded them away. */
  evict(entries) {
    for (const entry of entries) {
      const { row } = entry;
      if (!row) continue;
      entry.row = undefined;
      row.entries.splice(row.entries.indexOf(entry), 1);
      row.version += 1;
      this.shown -= 1;
      if (row.entries.length > 0) {
        if (row.entry === entry) [row.entry] = row.entries;
      } else {
        this.rows.splice(this.rows.indexOf(row), 1); // among the first: the search is short
        this._messages.delete(entry.message);
      }
    }
  }

  /** Every entry on show, in the order of the stream. */
  entries() {
    return this.rows.flatMap((row) => row.entries).sort((a, b) => a.index - b.index);
  }

  _append(kind, entry) {
    const row = { key: `${kind[0]}${entry.index}`, kind, entry, entries: [], version: 0 };
    this.rows.push(row);
    this._join(row, entry);
    return row;
  }

  _join(row, entry) {
    row.entries.push(entry);
    row.version += 1;
    entry.row = row;
    this.shown += 1;
  }

  _message(entry) {
    const row = this._messages.get(entry.message);
    if (row) {
      this._join(row, entry);
      return;
    }
    // A message may begin to match as it grows: then all that came of it before is shown too.
    const known = entry.message.entries.filter((e) => e.index <= entry.index && this._matches(e));
    const made = this._append("message", known[0]);
    for (const other of known.slice(1)) this._join(made, other);
    this._messages.set(entry.message, made);
  }

  _file(entry) {
    let row = this._burst?.row;
    if (row && this._continues(entry)) {
      if (row.kind === "event") row.kind = "burst";
      this._join(row, entry);
    } else {
      row = this._append("event", entry);
    }
    this._burst = { row, time: entry.time };
  }

  _continues(entry) {
    const { row, time } = this._burst;
    return (
      row.entries.length > 0 &&
      row.entries.length < MOST_IN_BURST &&
      entry.time - time <= BURST_PAUSE_MS &&
      entry.time - row.entries[0].time <= BURST_MS &&
      (row.kind === "commit" || row.entry.who === entry.who)
    );
  }

  _commit(entry) {
    const burst = this._burst;
    const row = this._append("commit", entry);
    if (burst && entry.time - burst.time <= COMMIT_MS) this._takeFiles(burst.row, row);
    this._burst = { row, time: entry.time };
  }

  /** Files between two commits belong to the later one, whoever had them for the moment. */
  _takeFiles(from, row) {
    const kept = from.kind === "commit" ? from.entries.indexOf(from.entry) + 1 : 0;
    const files = from.entries.slice(kept);
    if (!files.length || !touches(row.entry.event.data.files_changed, files)) return;
    from.entries.length = kept;
    from.version += 1;
    if (kept === 0) this.rows.splice(this.rows.lastIndexOf(from), 1);
    for (const file of files) file.row = row;
    row.entries.unshift(...files);
  }
}

/** Whether a commit can be about these file events; where it only counts its files, it can. */
function touches(changed, entries) {
  if (!Array.isArray(changed)) return true;
  const paths = new Set(changed);
  return entries.some(({ event }) => paths.has(event.data.path));
}
