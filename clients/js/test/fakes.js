// A page without a browser: sockets, timers, frames and answers moved by hand.
import { EventStream } from "../sightline.js";

export class FakePage {
  timersSet = 0;
  browserKey = null;
  base = "/";
  sockets = [];
  requests = [];
  answer = () => Promise.reject(new TypeError("nobody listens"));
  window = new EventTarget();
  document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  #nowMs = 0;
  #timers = new Map();
  #frames = new Map();
  #lastHandle = 0;

  get environment() {
    const page = this;
    return {
      WebSocket: class {
        sent = [];
        isClosed = false;
        constructor(address, protocols) {
          this.address = new URL(address);
          this.protocols = protocols;
          page.sockets.push(this);
        }
        send(text) {
          this.sent.push(JSON.parse(text));
        }
        close() {
          this.isClosed = true;
        }
      },
      location: new URL("http://localhost:5173/app/"),
      document: this.document,
      window: this.window,
      fetch: (address, options) => {
        this.requests.push({ address, ...options });
        return this.answer(options);
      },
      setTimeout: (action, ms) => {
        this.timersSet += 1;
        const at = this.#nowMs + (ms < 2 ** 31 ? ms : 1); // as in every browser
        return this.#keep(this.#timers, { action, at });
      },
      clearTimeout: (timer) => this.#timers.delete(timer),
      requestAnimationFrame: (action) => this.#keep(this.#frames, action),
      cancelAnimationFrame: (frame) => this.#frames.delete(frame),
      browserKey: (base) => (base === this.base ? this.browserKey : null),
      random: () => 0.5,
      now: () => this.#nowMs,
    };
  }

  #keep(map, value) {
    map.set(++this.#lastHandle, value);
    return this.#lastHandle;
  }

  get timers() {
    return this.#timers.size;
  }

  /** The newest socket. */
  get socket() {
    return this.sockets.at(-1);
  }

  /** The query of the newest upgrade. */
  get query() {
    return Object.fromEntries(this.socket.address.searchParams);
  }

  stream(options = {}) {
    const stream = new EventStream({ ...options, environment: this.environment });
    this.advance(0);
    return stream;
  }

  advance(seconds) {
    const end = this.#nowMs + seconds * 1000;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end);
      if (due.length === 0) break;
      const [handle, timer] = due.reduce((a, b) => (b[1].at < a[1].at ? b : a));
      this.#timers.delete(handle);
      this.#nowMs = Math.max(this.#nowMs, timer.at);
      timer.action();
    }
    this.#nowMs = end;
  }

  frame() {
    const actions = [...this.#frames.values()];
    this.#frames.clear();
    for (const action of actions) action();
  }

  show(visibilityState) {
    this.document.visibilityState = visibilityState;
    this.document.dispatchEvent(new Event("visibilitychange"));
  }

  say(...messages) {
    for (const message of messages) this.socket.onmessage({ data: JSON.stringify(message) });
  }

  lose(code = 1006) {
    this.socket.onclose({ code });
  }

  connect(fields = {}) {
    this.say({ ...connected, ...fields });
  }
}

export const connected = {
  type: "connected",
  client_id: "x",
  epoch: "e-1",
  sequence_number: 0,
  types: ["*"],
  heartbeat_interval_s: 30,
  resumed: false,
  replayed: 0,
  limits: { max_clients: 10 },
  protocol: "events.v1",
};

export function event(sequence_number, type = "git.commit_created") {
  return { type, timestamp: "2026-11-22T21:00:00.123Z", sequence_number, data: {}, metadata: {} };
}

export function gap(from, to, reason = "slow_consumer") {
  const dropped = from && to - from + 1;
  return { type: "gap", from_sequence_number: from, to_sequence_number: to, dropped, reason };
}

export function answer(status, body = {}, headers = {}) {
  const get = (name) => headers[name] ?? null;
  return () => Promise.resolve({ status, headers: { get }, json: () => Promise.resolve(body) });
}
