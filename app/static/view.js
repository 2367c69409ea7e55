/**
 * The shown rows: the entries that match the filter, with related entries folded into one row.
 *
 * A row is `{key, kind, entry, entries, version, at}`: `kind` is "event", "gap", "broken" (an item that
 * cannot be shown), "calls" (tool calls of agents with their results), "burst" (file events in quick succession), "commit" (with the file events around it)
 * or "message" (chunks of one chat message); `entry` is the main entry; `version` increases with each change.
 * Rows are in the order of `at`: the index of a message's last event, or of any other row's first event.
 * Messages that are being written come after all other rows.
 */

import { CallRows } from "./agents/calls.js";
import { keyOf, text } from "./fields.js";
import { matcher, NO_FILTER } from "./filters.js";

const BURST_PAUSE_MS = 1000; // a longer pause between two file events ends a burst
const BURST_MS = 10_000; // so does a longer duration,
const MOST_IN_BURST = 1000; // or a larger number of events
const COMMIT_MS = 3000; // file events at most this long before a commit belong to it
const MOST_LOOKED_AT = 50; // rows before a commit
const SHOWN_AS_BROKEN = "An event could not be placed";
const MOST_PINNED = 3; // messages that are being written, at the newest end

export class View {
  constructor(filter = NO_FILTER) {
    this.rows = [];
    this.shown = 0; // entries in all rows
    this.filter = filter;
    this._matches = matcher(filter);
    this._messages = new Map(); // the row of each message
    this._pinned = []; // the last of the rows: messages that are being written
    this._calls = new CallRows({ append: (entry) => this._append("calls", entry), join: (row, entry) => this._join(row, entry) });
    this._burst = null; // {row, time}: the burst that the next file event may join
  }

  /** Rebuild the view from `entries`. */
  static of(entries, filter) {
    const view = new View(filter);
    for (const entry of entries) view.push(entry);
    return view;
  }

  matches(entry) {
    return this._matches(entry);
  }

  /** Add a newer entry; returns whether it is shown. */
  push(entry) {
    entry.row = undefined;
    if (!this._matches(entry)) return false;
    if (entry.kind !== "event") this._append(entry.kind, entry);
    else if (entry.message) this._message(entry);
    else if (entry.namespace === "file") this._file(entry);
    else if (entry.namespace === "agent" && this._calls.place(entry)) return true;
    else if (entry.event.type === "git.commit_created") this._commit(entry);
    else this._append("event", entry);
    return true;
  }

  /** Add an entry that could not be processed. */
  pushBroken(entry, error) {
    const what = `${SHOWN_AS_BROKEN}: ${text(error?.message)}`;
    Object.assign(entry, { kind: "broken", item: entry.event ?? entry.gap, what });
    if (!entry.row) this._append("broken", entry);
  }

  /** Remove the oldest entries, which the feed has removed. */
  evict(entries) {
    for (const entry of entries) {
      const { row } = entry;
      if (!row) continue;
      entry.row = undefined;
      row.entries.splice(row.entries.indexOf(entry), 1);
      row.version += 1;
      if (entry.kind !== "left") this.shown -= 1;
      if (row.entries.length > 0) {
        if (row.entry === entry) [row.entry] = row.entries;
      } else {
        this._remove(row); // one of the first rows, so the search is short
        this._messages.delete(entry.message);
      }
    }
  }

  /** Move the rows of silent messages to the position of their last chunk. */
  settle(messages) {
    for (const message of messages) {
      const row = this._messages.get(message);
      if (!row) continue;
      row.version += 1;
      this._unpin(row);
    }
  }

  /** Every shown entry, in the order of the stream. */
  entries() {
    return this.rows.flatMap((row) => row.entries).sort((a, b) => a.index - b.index);
  }

  _append(kind, entry) {
    const row = { key: `${kind[0]}${entry.index}`, kind, entry, entries: [], version: 0, at: entry.index };
    if (this._pinned.length) this.rows.splice(this.rows.length - this._pinned.length, 0, row);
    else this.rows.push(row); // the common case, several times as fast
    this._join(row, entry);
    return row;
  }

  _join(row, entry) {
    row.entries.push(entry);
    row.version += 1;
    entry.row = row;
    if (entry.kind !== "left") this.shown += 1;
  }

  _remove(row) {
    this.rows.splice(this.rows.indexOf(row), 1);
    if (this._pinned.includes(row)) this._pinned = this._pinned.filter((other) => other !== row);
  }

  _message(entry) {
    const { message } = entry;
    let row = this._messages.get(message);
    if (row) {
      this._join(row, entry);
    } else {
      // A growing message may begin to match: then its earlier chunks are shown too.
      const known = message.entries.filter((e) => e.index <= entry.index && this._matches(e));
      row = this._append("message", known[0]);
      for (const other of known.slice(1)) this._join(row, other);
      this._messages.set(message, row);
    }
    row.at = entry.index;
    if (message.isWriting || entry !== message.entries.at(-1)) this._pin(row);
    else this._unpin(row);
  }

  /**
   * Keep the row of a growing message at the newest end, where it is visible. Pinned rows keep their order:
   * otherwise two growing rows would swap at each chunk. At most `MOST_PINNED` rows are pinned.
   */
  _pin(row) {
    if (this._pinned.includes(row)) return;
    this.rows.splice(this.rows.lastIndexOf(row), 1);
    this.rows.push(row);
    this._pinned.push(row);
    if (this._pinned.length <= MOST_PINNED) return;
    this._unpin(this._pinned.reduce((oldest, other) => (other.at < oldest.at ? other : oldest)));
  }

  /** Move a message's row to the position of its last event, by `at`. */
  _unpin(row) {
    this.rows.splice(this.rows.lastIndexOf(row), 1);
    this._pinned = this._pinned.filter((other) => other !== row);
    let low = 0;
    let high = this.rows.length - this._pinned.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].at < row.at) low = middle + 1;
      else high = middle;
    }
    this.rows.splice(low, 0, row);
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
      (row.kind === "commit" ? this._owns(row, [entry]) : row.entry.who === entry.who)
    );
  }

  _commit(entry) {
    const row = this._append("commit", entry);
    const own = [];
    for (const from of this._recentFileRows(entry)) {
      const kept = from.kind === "commit" ? from.entries.indexOf(from.entry) + 1 : 0;
      own.push(...from.entries.slice(kept).filter((file) => isOwn(row.entry, file)));
    }
    if (own.length && this._owns(row, own)) this._move(own, row);
    this._burst = { row, time: entry.time };
  }

  /** The newest rows whose last file event was shortly before the commit. */
  _recentFileRows(commit) {
    const found = [];
    const newest = this.rows.length - this._pinned.length - 2; // the last one is the commit's own row
    for (let i = newest; i >= 0 && i > newest - MOST_LOOKED_AT; i -= 1) {
      const row = this.rows[i];
      const last = row.entries.at(-1);
      if (Math.abs(commit.time - last.time) > COMMIT_MS) break;
      if (last.namespace === "file") found.push(row);
    }
    return found;
  }

  /** Move the files between two commits to the later commit. */
  _move(files, row) {
    const sources = new Set(files.map((file) => file.row));
    const moved = new Set(files);
    for (const from of sources) {
      from.entries = from.entries.filter((entry) => !moved.has(entry));
      from.version += 1;
      if (from.kind === "burst" && from.entries.length === 1) from.kind = "event";
      if (from.entries.length === 0) this._remove(from);
      else if (!from.entries.includes(from.entry)) [from.entry] = from.entries;
    }
    for (const file of files) file.row = row;
    row.entries.unshift(...files.sort((a, b) => a.index - b.index));
  }

  /**
   * Whether all of `files`, with those already in the commit's row, belong to the commit. If the commit only
   * has a number of files, more files than that do not belong to it alone and are not moved.
   */
  _owns(row, files) {
    if (!files.every((file) => isOwn(row.entry, file))) return false;
    const changed = row.entry.event.data.files_changed;
    if (!Number.isFinite(changed)) return true;
    const inRow = row.entries.filter((entry) => entry.namespace === "file");
    const paths = new Set([...inRow, ...files].filter(isFile).map(({ event }) => keyOf(event.data.path)));
    return paths.size <= changed;
  }
}

const isFile = ({ event }) => event.data.is_directory !== true;

/** Whether a file event can belong to a commit: same agent, and a listed path if paths are listed. */
function isOwn(commit, file) {
  const { data, metadata } = commit.event;
  const agent = text(file.event.metadata?.agent);
  if (agent && ![metadata?.agent, data.agent_name, data.author].some((name) => text(name) === agent)) return false;
  if (!Array.isArray(data.files_changed) || !isFile(file)) return true;
  commit.paths ??= new Set(data.files_changed);
  return commit.paths.has(file.event.data.path);
}
