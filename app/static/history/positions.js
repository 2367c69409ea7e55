/** Positions in the stream. An event holds its number; its epoch is kept here, so events stay as they came. */

const epochs = new WeakMap(); // by event or gap

/** Remember the epoch of an item, which the gateway sent in it. */
export function place(item, epoch) {
  epochs.set(item, epoch);
}

/** The epoch of an item, or undefined if it is unknown. */
export function epochOf(item) {
  return item && epochs.get(item);
}

/** The position of an entry of a feed: `{epoch, number}`, or null for a gap and where it is unknown. */
export function positionOf({ event }) {
  const epoch = epochOf(event);
  return epoch === undefined ? null : { epoch, number: event.sequence_number };
}

/** The place in a feed of the last event up to a position in its epoch; -1 if the feed has none. */
export function placeOf(feed, { epoch, number }) {
  for (let i = feed.length - 1; i >= 0; i -= 1) {
    const position = positionOf(feed.at(i));
    if (position?.epoch === epoch && position.number <= number) return i;
  }
  return -1;
}

/** A position as one value: `epoch:number`. */
export function written({ epoch, number }) {
  return `${epoch}:${number}`;
}

/** The position in a text, which may be anything; null if it holds none. */
export function read(text) {
  const [, epoch, number] = /^([A-Za-z0-9._-]{1,64}):(\d{1,16})$/.exec(text ?? "") ?? [];
  return Number.isSafeInteger(Number(number)) ? { epoch, number: Number(number) } : null;
}

/** The line between two epochs in one feed. */
export function restart(epoch) {
  const gap = { type: "gap", from_sequence_number: null, to_sequence_number: null, dropped: null };
  const item = { ...gap, reason: "epoch_changed" };
  place(item, epoch);
  return item;
}
