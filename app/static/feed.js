/**
 * Events and gaps as plain objects, in order: the newest ones, or a window over older ones.
 *
 * An entry is `{kind: "event", index, event, namespace, who, what, failure, time, haystack, size,
 * message}` or `{kind: "gap", index, gap, what, haystack, size}`; an item that cannot be read is `{kind:
 * "broken", index, item, what, haystack, size}`; the place where the user left is `{kind: "left", …}`.
 * `index` counts up for the life of the page (sequence numbers begin again when the gateway restarts), and
 * an entry keeps it in every feed; `time` is milliseconds, `size` characters.
 */

import { keyOf, text } from "./fields.js";
import { stringify } from "./json.js";
import { Problems } from "./problems.js";
import { gapOf, isFailure, SOMEONE, whatOf, whoOf } from "./sentences.js";
import { unisolated, visible } from "./visible.js";

export const MOST_ENTRIES = 20_000;
export const MOST_CHARACTERS = 32_000_000; // about 64 MB: events may be 256 KiB each
const MOST_MESSAGE_CHARACTERS = 200_000;
const SILENCE_MS = 10_000; // without a chunk: the message is no longer being written
const MOST_NAMES = 1000;
const LONGEST_NAME = 600;
const UNKNOWN_SIZE = 1000;
const STEP = 2 ** -20; // between the indexes of loaded entries: a feed's own count by ones, so they fit between

export class Feed {
  /** `now` is the clock for silences, in milliseconds; `next` the first index. */
  constructor({
    mostEntries = MOST_ENTRIES,
    mostCharacters = MOST_CHARACTERS,
    problems = new Problems(),
    now = () => performance.now(),
    next = 0,
  } = {}) {
    this._problems = problems;
    this._now = now;
    this.foldedAway = 0;
    this.characters = 0;
    this.mostEntries = mostEntries;
    this._mostCharacters = mostCharacters;
    this._entries = [];
    this._start = 0;
    this._next = next;
    this.failures = 0; // entries that report one
    this.counts = new Map(); // events by namespace
    this.left = null; // the line where the user left
    this._messages = new Map(); // open chat messages by id or agent
    this._writing = new Set(); // open ones that had a chunk in the last ten seconds
    this._workflows = new Map(); // names by id
  }

  get length() {
    return this._entries.length - this._start;
  }

  /** The index that the next entry gets. */
  get next() {
    return this._next;
  }

  /** A copy of all entries, oldest first. */
  entries() {
    return this._entries.slice(this._start);
  }

  /** Whether one more entry would remove another. */
  get isFull() {
    return this.length >= this.mostEntries || this.characters >= this._mostCharacters;
  }

  /** The entry at a place, counted from the oldest; negative places count from the newest. */
  at(place) {
    return this._entries[(place < 0 ? this._entries.length : this._start) + place];
  }

  /** Add an event or gap, which is untrusted; returns its entry. Call `trim` after a batch. */
  add(item) {
    const entry = this._read(item, this._next++, (made) => this._grow(made));
    this._push(entry);
    return entry;
  }

  /** Add a copy of another feed's entry, which is newer than all of this one; returns the copy. */
  adopt(entry) {
    const copy = { ...entry, message: undefined, row: undefined };
    this._next = Math.floor(entry.index) + 1;
    if (copy.namespace === "chat") this._problems.guard("reading an event", () => this._grow(copy));
    this._push(copy);
    return copy;
  }

  /** Put older items, oldest first, before all entries. Call `trimNewest` then. */
  prepend(items) {
    const first = this.at(0)?.index ?? this._next;
    const made = items.map((item, i) => this._read(item, first - STEP * (items.length - i)));
    this._insert(0, made);
    return made;
  }

  /** Put newer items, oldest first, after all entries. Call `trim` then. */
  append(items) {
    const last = this.at(-1)?.index ?? this._next - 1;
    const made = items.map((item, i) => this._read(item, last + STEP * (i + 1)));
    this._insert(this.length, made);
    return made;
  }

  /** Put the line where the user left after the entry at a place; a feed has one at most. */
  markLeft(place, what) {
    const { index } = this.at(place);
    this.left = { kind: "left", index: index + STEP / 2, what, haystack: what, size: 0 };
    const next = this._entries.findIndex((entry) => entry?.index > index);
    this._entries.splice(next === -1 ? this._entries.length : next, 0, this.left);
  }

  /** Remove the line where the user left. */
  unmark() {
    if (this.left) this._entries.splice(this._entries.indexOf(this.left), 1);
    this.left = null;
  }

  /** Remove the oldest entries over the bounds; returns them, oldest first. */
  trim() {
    const gone = [];
    while (this._isOver()) {
      const entry = this._entries[this._start];
      this._entries[this._start] = undefined;
      this._start += 1;
      this._forget(entry);
      gone.push(entry);
      entry.message?.entries.shift();
    }
    if (this._start > 4096 && this._start * 2 > this._entries.length) {
      this._entries = this._entries.slice(this._start);
      this._start = 0;
    }
    this.foldedAway += gone.length;
    return gone;
  }

  /** Remove the newest entries over the bounds; returns how many. */
  trimNewest() {
    let gone = 0;
    for (; this._isOver(); gone += 1) {
      const entry = this._entries.pop();
      this._forget(entry);
      entry.message?.entries.pop();
    }
    return gone;
  }

  /** Remove everything; the indexes go on, and one is left out, as a hole. */
  clear() {
    this._next += 1;
    this._entries = [];
    this._start = 0;
    this.characters = 0;
    this.failures = 0;
    this.counts.clear();
    this.left = null;
    this._messages.clear();
    this._writing.clear();
  }

  /** The messages that have become silent, and so are no longer being written. */
  settle() {
    const now = this._now();
    const silent = [...this._writing].filter((message) => now - message.heard > SILENCE_MS);
    for (const message of silent) {
      message.silent = true;
      this._writing.delete(message);
    }
    return silent;
  }

  _isOver() {
    return this.length > this.mostEntries || (this.characters > this._mostCharacters && this.length > 1);
  }

  _push(entry) {
    this._entries.push(entry);
    this._remember(entry);
  }

  _remember(entry) {
    this.characters += entry.size;
    if (entry.failure) this.failures += 1;
    this._count(entry, 1);
    if (entry.kind === "left") this.left = entry;
  }

  _forget(entry) {
    this.characters -= entry.size;
    if (entry.failure) this.failures -= 1;
    this._count(entry, -1);
    if (entry === this.left) this.left = null;
  }

  _count({ kind, namespace }, by) {
    if (kind === "event") this.counts.set(namespace, (this.counts.get(namespace) ?? 0) + by);
  }

  /** Insert loaded entries, and put the chunks of chat messages together anew. */
  _insert(place, made) {
    const entries = this.entries();
    this._entries = [...entries.slice(0, place), ...made, ...entries.slice(place)];
    this._start = 0;
    for (const entry of made) this._remember(entry);
    this._messages.clear();
    this._writing.clear();
    for (const entry of this._entries) {
      if (entry.namespace !== "chat") continue;
      entry.message = undefined;
      this._problems.guard("reading an event", () => this._grow(entry));
    }
    for (const message of this._writing) message.silent = true; // nobody saw when its last chunk came
    this._writing.clear();
  }

  /** The entry of an item; `grow` puts a chat message's entry to the rest of its message. */
  _read(item, index, grow = () => {}) {
    return this._problems.guard(
      "reading an event",
      () => (item.type === "gap" ? this._gap(item, index) : this._event(item, index, grow)),
      (error) => broken(item, index, error),
    );
  }

  _gap(gap, index) {
    if (gap.reason === "epoch_changed") this._messages.clear();
    const what = gapOf(gap);
    return { kind: "gap", index, gap, what, haystack: what, size: what.length };
  }

  _event(event, index, grow) {
    const namespace = event.type.slice(0, event.type.indexOf("."));
    if (namespace === "workflow") this._learn(event.data);
    const who = whoOf(event);
    const what = whatOf(event, (id) => this._workflows.get(keyOf(id)));
    const body = stringify([event.data, event.metadata]);
    const said = `${who} ${unisolated(what)} ${event.type} #${event.sequence_number}`;
    const haystack = `${said} ${visible(body)}`.toLowerCase();
    const entry = {
      kind: "event",
      index,
      event,
      namespace,
      who,
      what,
      failure: isFailure(event),
      time: Date.parse(event.timestamp) || 0,
      haystack,
      size: haystack.length + body.length, // the event itself is about as big as its text
      message: undefined,
      row: undefined, // the view's row that shows it
    };
    if (namespace === "chat") grow(entry);
    return entry;
  }

  _learn({ workflow_id: id, workflow_name: name }) {
    if (typeof name === "string") setNewest(this._workflows, keyOf(id), name.slice(0, LONGEST_NAME));
  }

  /** Add the entry to its chat message; chunks and the complete answer share one `Message`. */
  _grow(entry) {
    const { type, data } = entry.event;
    const named = data.message_id != null;
    const key = named ? `id ${keyOf(data.message_id)}` : `by ${entry.who}`;
    let message = this._messages.get(key);
    if (type === "chat.streaming_chunk") {
      if (!message || (!named && (message.silent || entry.time - message.time > SILENCE_MS))) {
        message = new Message(key, entry.who);
        setNewest(this._messages, key, message);
      }
      message.grow(entry, this._now());
      this._writing.add(message);
    } else if (type === "chat.message_received") {
      message ??= this._endedBy(entry);
      if (!message) return;
      message.end(entry);
      this._writing.delete(message);
      if (this._messages.get(message.key) === message) this._messages.delete(message.key);
    }
  }

  /**
   * The open message that a complete answer without an id ends: one with the same text by the same agent or an
   * unknown one, or else the agent's open message without an id.
   */
  _endedBy({ who, event: { data } }) {
    const whole = typeof data.content === "string" ? data.content.trim() : "";
    const open = [...this._messages.values()].reverse();
    const same = open.filter((message) => whole && message.text.trim() === whole);
    return (
      same.find((message) => message.who === who) ??
      this._messages.get(`by ${who}`) ??
      same.find((message) => message.who === SOMEONE || who === SOMEONE)
    );
  }
}

/** The entry of an item that could not be read. */
function broken(item, index, error) {
  const what = `An event could not be shown: ${unisolated(text(error?.message) || "unknown error")}`;
  return { kind: "broken", index, item, what, haystack: what, size: sizeOf(item) };
}

function sizeOf(item) {
  try {
    return 2 * stringify(item).length;
  } catch {
    return UNKNOWN_SIZE;
  }
}

/** A chat message that comes in chunks; `entries` are those of its events that are still kept. */
class Message {
  constructor(key, who) {
    Object.assign(this, { key, who, text: "", haystack: "", entries: [], done: false, silent: false, time: 0, heard: 0 });
  }

  /** Whether more is expected. */
  get isWriting() {
    return !this.done && !this.silent;
  }

  grow(entry, now) {
    const { chunk } = entry.event.data;
    this.silent = false;
    this.heard = now;
    this.text += typeof chunk === "string" ? chunk : "";
    this.haystack += typeof chunk === "string" ? visible(chunk).toLowerCase() : "";
    if (this.text.length > MOST_MESSAGE_CHARACTERS) {
      this.text = `…${this.text.slice(-MOST_MESSAGE_CHARACTERS / 2)}`;
      this.haystack = visible(this.text).toLowerCase();
    }
    this._join(entry);
  }

  end(entry) {
    const { content } = entry.event.data;
    if (typeof content === "string") this.text = content;
    this.haystack += `\n${visible(this.text).toLowerCase()}`; // keep earlier search hits
    this.done = true;
    this._join(entry);
  }

  _join(entry) {
    this.time = entry.time;
    this.entries.push(entry);
    entry.message = this;
  }
}

function setNewest(map, key, value) {
  map.delete(key); // a `Map` keeps the order of insertion
  map.set(key, value);
  if (map.size > MOST_NAMES) map.delete(map.keys().next().value);
}
