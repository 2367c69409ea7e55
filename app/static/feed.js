/**
 * What the console remembers: the newest events and gaps as plain objects, in order.
 *
 * An entry is `{kind: "event", index, event, namespace, who, what, failure, time, haystack, size,
 * message}` or `{kind: "gap", index, gap, haystack, size}`. `index` counts up for the life of the page (sequence
 * numbers begin again when the gateway restarts); `time` is milliseconds, `size` characters.
 */

import { gapOf, isFailure, whatOf, whoOf } from "./sentences.js";

export const MOST_ENTRIES = 20_000;
export const MOST_CHARACTERS = 32_000_000; // about 64 MB: events may be 256 KiB each
const MOST_MESSAGE_CHARACTERS = 200_000;
const SILENCE_MS = 10_000; // chunks without a message_id: after this, another message begins
const MOST_NAMES = 1000;

export class Feed {
  constructor({ mostEntries = MOST_ENTRIES, mostCharacters = MOST_CHARACTERS } = {}) {
    this.foldedAway = 0;
    this.characters = 0;
    this.mostEntries = mostEntries;
    this._mostCharacters = mostCharacters;
    this._entries = [];
    this._start = 0;
    this._next = 0;
    this._messages = new Map(); // open chat messages by id or agent
    this._workflows = new Map(); // names by id
  }

  get length() {
    return this._entries.length - this._start;
  }

  /** The index that the next entry gets. */
  get next() {
    return this._next;
  }

  /** All entries from the oldest kept, a copy. */
  entries() {
    return this._entries.slice(this._start);
  }

  /** Take in one event or gap; returns its entry. Call `trim` after a batch. */
  add(item) {
    const entry = item.type === "gap" ? this._gap(item) : this._event(item);
    this._entries.push(entry);
    this.characters += entry.size;
    return entry;
  }

  /** Fold away what is over the bounds; returns those entries, oldest first. */
  trim() {
    const gone = [];
    while (
      this.length > this.mostEntries ||
      (this.characters > this._mostCharacters && this.length > 1)
    ) {
      const entry = this._entries[this._start];
      this._entries[this._start] = undefined;
      this._start += 1;
      this.characters -= entry.size;
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

  _gap(gap) {
    if (gap.reason === "epoch_changed") this._messages.clear();
    const what = gapOf(gap);
    return { kind: "gap", index: this._next++, gap, what, haystack: what, size: what.length };
  }

  _event(event) {
    const namespace = event.type.slice(0, event.type.indexOf("."));
    if (namespace === "workflow") this._learn(event.data);
    const who = whoOf(event);
    const what = whatOf(event, (id) => this._workflows.get(id));
    const body = JSON.stringify([event.data, event.metadata]);
    const haystack = `${who} ${what} ${event.type} #${event.sequence_number} ${body}`.toLowerCase();
    const entry = {
      kind: "event",
      index: this._next++,
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
    if (namespace === "chat") this._grow(entry);
    return entry;
  }

  _learn({ workflow_id: id, workflow_name: name }) {
    if (typeof name !== "string") return;
    remember(this._workflows, id, name);
  }

  /** Chunks of one chat message share a `Message`; the complete answer that ends it joins them. */
  _grow(entry) {
    const { type, data } = entry.event;
    const named = data.message_id != null;
    const key = named ? `id ${data.message_id}` : `by ${entry.who}`;
    let message = this._messages.get(key);
    if (type === "chat.streaming_chunk") {
      if (!message || (!named && entry.time - message.time > SILENCE_MS)) {
        message = new Message(key, entry.who);
        remember(this._messages, key, message);
      }
      message.grow(entry);
    } else if (type === "chat.message_received") {
      const whole = String(data.content).trim();
      message ??= [...this._messages.values()].find(
        (open) => open.who === entry.who && open.text.trim() === whole,
      );
      if (!message) return;
      message.end(entry);
      this._messages.delete(message.key);
    }
  }
}

/** A chat message that comes in chunks; `entries` are those of its events that are still kept. */
class Message {
  constructor(key, who) {
    Object.assign(this, { key, who, text: "", haystack: "", entries: [], done: false, time: 0 });
  }

  grow(entry) {
    const { chunk } = entry.event.data;
    this.text += typeof chunk === "string" ? chunk : "";
    this.haystack += typeof chunk === "string" ? chunk.toLowerCase() : "";
    if (this.text.length > MOST_MESSAGE_CHARACTERS) {
      this.text = `…${this.text.slice(-MOST_MESSAGE_CHARACTERS / 2)}`;
      this.haystack = this.text.toLowerCase();
    }
    this._join(entry);
  }

  end(entry) {
    const { content } = entry.event.data;
    if (typeof content === "string") this.text = content;
    this.haystack += `\n${this.text.toLowerCase()}`; // what was found stays found
    this.done = true;
    this._join(entry);
  }

  _join(entry) {
    this.time = entry.time;
    this.entries.push(entry);
    entry.message = this;
  }
}

function remember(map, key, value) {
  map.delete(key); // what was used last goes last
  map.set(key, value);
  if (map.size > MOST_NAMES) map.delete(map.keys().next().value);
}
