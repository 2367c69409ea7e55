/** A journal in memory that answers as `GET /api/events` does: pages of one epoch, in either order. */

export class Journal {
  constructor() {
    this.events = []; // {epoch, event}; the numbers of an epoch are 1, 2, 3, …
    this._base = new Map();
  }

  /** Publish an event of an epoch; its number is the next one. */
  add(epoch, { type, data, metadata, timestamp }) {
    if (!this._base.has(epoch)) this._base.set(epoch, this.events.length);
    const sequence_number = this.events.length - this._base.get(epoch) + 1;
    const event = { type, timestamp, sequence_number, data, metadata };
    this.events.push({ epoch, event });
    return event;
  }

  /** One page; reading ends early after `most` events, as where a search takes too long. */
  page({ order = "asc", limit = 100, before, after, fits = () => true, most = Infinity }) {
    const step = order === "desc" ? -1 : 1;
    const from = before ? this._place(before) - 1 : after ? this._place(after) + 1 : 0;
    const { epoch } = this.events[from] ?? {};
    const found = [];
    let end = from;
    for (let read = 0; this.events[end]?.epoch === epoch && found.length < limit && read < most; end += step, read += 1) {
      if (fits(this.events[end].event)) found.push(this.events[end].event);
    }
    const [low, high] = order === "desc" ? [end + 1, from] : [from, end - 1];
    return {
      epoch,
      events: found,
      next: this.events[high].event.sequence_number,
      gap: null,
      older: low > 0 ? this._position(low - 1, 1) : null,
      newer: high < this.events.length - 1 ? this._position(high, 0) : null,
      matches: null,
    };
  }

  _place(position) {
    const [epoch, number] = position.split(":");
    return this._base.get(epoch) + Number(number) - 1;
  }

  _position(place, more) {
    const { epoch, event } = this.events[place];
    return `${epoch}:${event.sequence_number + more}`;
  }
}
