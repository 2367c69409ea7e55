/**
 * The browser client of the Sightline gateway: connects, resumes, and says what was lost.
 *
 * `Protocol` decides and `EventStream` acts: the first is pure, without socket, timer or clock; the
 * second is the shell that pages use. The wire contract is docs/protocol.md of the gateway.
 */

const BACKOFF_MIN_S = 0.5;
const BACKOFF_MAX_S = 30;
const MINUTE_S = 60;
const CONNECT_TIMEOUT_S = 10; // from the first attempt to `connected`, and for /api/session
const SILENCE_GRACE_S = 5; // beyond the heartbeat's interval, before a sign of life is asked for
const PROBE_S = 5; // a pong comes well under 5 s even while events flood
const BEHIND_S = 5; // without a further loss, before `behind` is `live` again
const BATCH_TIMER_S = 0.25; // where no animation frame comes: a hidden tab, no page at all
const BATCH_LIMIT = 1000; // a fuller batch is handed over at once: nothing is dropped or piled up
const MAX_PATTERNS = 256;
const MAX_PATTERN_LENGTH = 64;
const MAX_FILTER_LENGTH = 4096; // in the address; of the request 8 KiB are read, cookies and all
const MAX_CHANGES = 1000; // unanswered ones
const MAX_TIMER_MS = 2 ** 31 - 1; // a longer timer fires at once

const PATTERN = /^(?:\*|(?:\*|[a-z][a-z0-9_]*)\.(?:\*|[a-z][a-z0-9_]*))$/;
const TOKEN = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/;

const CLOSED = {
  1012: { reconnect: "backoff", reason: "restarting" },
  1009: { reconnect: "no", reason: "message too big" },
  4401: {
    reconnect: "no",
    reason: "not logged in",
    message: "the gateway ended this session: log in again, or use the new token",
  },
  4409: { reconnect: "no", reason: "replaced", message: "a newer connection took this client id" },
  4429: { reconnect: "after_a_minute", reason: "too many messages" },
};
const REFUSED = {
  400: { reconnect: "no", reason: "bad request" },
  401: { reconnect: "no", reason: "not logged in" },
  403: { reconnect: "no", reason: "forbidden" },
  503: { reconnect: "backoff", reason: "full" },
};
const CONNECTING = Object.freeze({ name: "connecting" });
const UNREACHABLE = { reconnect: "backoff", reason: "down" };

/** What went wrong: `code` for programs, `message` for people. */
export class StreamError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = "StreamError";
    this.code = code;
  }
}

/** Whether `text` is a pattern: `*`, `git.*`, `*.failed`, `git.commit_created`. */
export function isPattern(text) {
  return typeof text === "string" && text.length <= MAX_PATTERN_LENGTH && PATTERN.test(text);
}

function checked(types) {
  if (!Array.isArray(types))
    throw new StreamError("invalid_pattern", 'types is an array of patterns, like ["git.*"]');
  const wrong = types.find((pattern) => !isPattern(pattern));
  if (wrong !== undefined) {
    const quoted = JSON.stringify(wrong)?.slice(0, 80);
    throw new StreamError(
      "invalid_pattern",
      `pattern ${quoted} is malformed: use "*", "namespace.*", "*.name" or "namespace.name"`,
    );
  }
  const patterns = [...new Set(types)];
  if (patterns.length > MAX_PATTERNS || patterns.join("%2C").length > MAX_FILTER_LENGTH) {
    throw new StreamError(
      "invalid_pattern",
      `${patterns.length} patterns in one filter: at most ${MAX_PATTERNS} and ` +
        `${MAX_FILTER_LENGTH} characters fit; use wildcards such as "workflow.*"`,
    );
  }
  return patterns;
}

/** The filter as the gateway told it, and the changes that it has not answered yet. */
class Filter {
  #told; // null: never told, and none asked for, which is everything
  #changes = [];
  #lastId = 0;

  constructor(types) {
    this.#told = types == null ? null : checked(types);
  }

  /** What the next upgrade asks for; null leaves it out. */
  get wanted() {
    return this.#changes.reduce((types, change) => applied(types ?? ["*"], change), this.#told);
  }

  /** Add a change and return its message, to be sent unless an upgrade carries it. */
  change(type, types, settle) {
    const change = {
      message: { type, types: checked(types), id: this.#lastId + 1 },
      carried: false,
      ...settle,
    };
    checked(applied(this.wanted ?? ["*"], change));
    if (this.#changes.length >= MAX_CHANGES) {
      throw new StreamError(
        "too_many_changes",
        `${MAX_CHANGES} changes wait for an answer: await them`,
      );
    }
    this.#lastId += 1;
    this.#changes.push(change);
    return change.message;
  }

  carry() {
    for (const change of this.#changes) change.carried = true;
  }

  /** The upgrade was accepted: settle what it carried, return the messages still to be sent. */
  connected(types) {
    this.#told = types;
    const carried = this.#changes.filter((change) => change.carried);
    this.#changes = this.#changes.filter((change) => !change.carried);
    for (const change of carried) change.resolve(types);
    return this.#changes.map((change) => change.message);
  }

  answered(id, types) {
    this.#told = types;
    this.#taken(id)?.resolve(types);
  }

  /** Whether `id` was a change of ours. */
  refused(id, error) {
    const change = this.#taken(id);
    change?.reject(error);
    return change !== undefined;
  }

  abandon(error) {
    for (const change of this.#changes.splice(0)) change.abandon(error);
  }

  #taken(id) {
    const index = this.#changes.findIndex((change) => change.message.id === id);
    return index < 0 ? undefined : this.#changes.splice(index, 1)[0];
  }
}

function applied(types, { message }) {
  return message.type === "subscribe"
    ? [...new Set([...types, ...message.types])]
    : types.filter((pattern) => !message.types.includes(pattern));
}

/** What one client knows of the stream, and what follows from what it hears. Pure. */
export class Protocol {
  position = null; // the last one processed; what a reconnect resumes from
  limits = null;
  heartbeatIntervalS = 0;
  #epoch = null; // of the current connection; null until its `connected`
  #received = null; // the last position taken in; ahead of `position` by what is not yet processed
  #attempt = 0;

  constructor(clientId, types) {
    this.clientId = clientId;
    this.filter = new Filter(types);
  }

  /** Begin a connection: the parameters of its upgrade. */
  open() {
    this.#epoch = null;
    this.filter.carry();
    const types = this.filter.wanted;
    return {
      client_id: this.clientId,
      ...(types && { types: types.join(",") }),
      ...(this.position && {
        last_sequence_number: String(this.position.sequence_number),
        epoch: this.position.epoch,
      }),
    };
  }

  get connected() {
    return this.#epoch !== null;
  }

  /** Take in one raw message: what is to be told of it, or sent for it. */
  receive(text) {
    const message = parsed(text);
    const isEvent = message?.type.includes(".");
    if (!message || (isEvent && !Number.isSafeInteger(message.sequence_number))) {
      return {
        error: new StreamError(
          "malformed_message",
          `the gateway sent ${String(text).slice(0, 80)}`,
        ),
      };
    }
    if (message.type === "connected") return { connected: this.#connect(message) };
    if (!this.connected) {
      return {
        error: new StreamError("malformed_message", `${message.type} came before connected`),
      };
    }
    if (isEvent) return this.#advance(message.sequence_number) ? { event: message } : {};
    switch (message.type) {
      case "gap":
        if (message.reason === "epoch_changed") this.#received = this.#at(0);
        else if (message.to_sequence_number != null) this.#advance(message.to_sequence_number);
        return { gap: message };
      case "heartbeat":
        this.#advance(message.sequence_number);
        return {};
      case "subscribed":
        this.filter.answered(message.id, message.types);
        return { answer: message };
      case "error": {
        const error = new StreamError(message.code, message.message);
        return { error, answered: this.filter.refused(message.id, error) };
      }
    }
    return {}; // a pong, or what a later version adds
  }

  /** Everything taken in so far has been processed. */
  processed() {
    this.position = this.#received;
  }

  /** What follows from a close code: "backoff", "after_a_minute", "no", or "ask" first. */
  closed(code) {
    if (code === 1006 && !this.connected) return { reconnect: "ask" };
    return CLOSED[code] ?? { reconnect: "backoff", reason: "connection lost" };
  }

  /** What follows from the answer of /api/session after a failed upgrade. */
  refused(status, answer) {
    const said = answer?.message && { message: answer.message };
    if (status !== 200) return { ...(REFUSED[status] ?? UNREACHABLE), ...said };
    if (answer?.places_taken >= answer?.limits?.max_clients) return REFUSED[503];
    const message =
      "the gateway answers, but its WebSocket did not open; a proxy between must pass upgrades on";
    return { reconnect: "backoff", reason: "connection lost", message };
  }

  /** Seconds until the next attempt, by full jitter; `random` is a draw from [0, 1). */
  backoffS(random) {
    const ceiling = Math.min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** this.#attempt);
    this.#attempt += 1;
    return random * ceiling;
  }

  forgetFailures() {
    this.#attempt = 0;
  }

  #connect(message) {
    this.#epoch = message.epoch;
    this.#received ??= this.#at(message.sequence_number);
    this.limits = message.limits;
    this.heartbeatIntervalS = message.heartbeat_interval_s;
    this.forgetFailures();
    return this.filter.connected(message.types);
  }

  #at(sequence_number) {
    return Object.freeze({ epoch: this.#epoch, sequence_number });
  }

  #advance(number) {
    const isNew = this.#received.epoch !== this.#epoch || number > this.#received.sequence_number;
    if (isNew) this.#received = this.#at(number);
    return isNew;
  }
}

function parsed(text) {
  try {
    const message = JSON.parse(text);
    return typeof message?.type === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}

/** The second half of this origin's log-in, which the cookie needs beside it; null without one. */
export function browserKey() {
  try {
    return globalThis.localStorage?.getItem("sightline.browser_key") ?? null;
  } catch {
    return null; // a page without storage, such as a sandboxed frame
  }
}

/** Log this browser in at the page's own origin with a ticket; cookie and browser key are kept. */
export async function logIn(ticket) {
  const answer = await fetch("/api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ticket }),
  });
  if (!answer.ok) throw new StreamError("not_logged_in", (await answer.json()).message);
  localStorage.setItem("sightline.browser_key", answer.headers.get("X-Browser-Key"));
}

/** What the shell needs of a page; tests put their own in its place. */
function surroundings() {
  const { WebSocket, location, document } = globalThis;
  return {
    WebSocket,
    location,
    document,
    window: globalThis.addEventListener && globalThis, // not in node
    fetch: (...request) => globalThis.fetch(...request),
    setTimeout: (action, ms) => globalThis.setTimeout(action, ms),
    clearTimeout: (timer) => globalThis.clearTimeout(timer),
    requestAnimationFrame: (action) => globalThis.requestAnimationFrame?.(action),
    cancelAnimationFrame: (frame) => globalThis.cancelAnimationFrame?.(frame),
    browserKey,
    random: Math.random,
    now: () => performance.now(), // milliseconds that never jump
  };
}

function resolved(url, location) {
  let address;
  try {
    address = new URL(url, location?.href);
  } catch {
    throw new TypeError(
      `url ${url} needs a page to be relative to: give one like "ws://127.0.0.1:3000/ws"`,
    );
  }
  address.protocol = address.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(address.protocol))
    throw new TypeError(`url ${url} is neither http(s) nor ws(s)`);
  address.hash = "";
  return address;
}

function newClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // unlike randomUUID, also on plain http
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A live stream of events that reconnects and resumes by itself. See README.md.
 *
 * An `EventTarget` of "event" (or "events", with `batch`), "gap", "state" and "error", which carry
 * a `detail`.
 */
export class EventStream extends EventTarget {
  #on;
  #batching;
  #io;
  #url;
  #token;
  #protocol;
  #state = CONNECTING;
  #socket = null; // the current one: what an older one still says is not heard
  #asking = null; // the abort controller of the question to /api/session
  #timer = null; // of the current phase: opening, live, asking or waiting
  #behindTimer = null;
  #batch = []; // received and not yet handed over, at most BATCH_LIMIT
  #batchTimer = null;
  #frame = null;
  #heardAt = null; // when the last frame came; null while a sign of life is asked for
  #patient = false; // whether waiting is not to be cut short by the page coming back

  constructor({
    url = "/ws",
    token,
    types,
    onEvent,
    onEvents,
    onGap,
    onState,
    batch = false,
    environment,
  } = {}) {
    super();
    if (token != null && !TOKEN.test(token)) {
      throw new TypeError(
        "token holds a character that cannot travel in a header: copy it again, without spaces",
      );
    }
    this.#on = { event: onEvent, events: onEvents, gap: onGap, state: onState };
    this.#batching = batch;
    this.#io = { ...surroundings(), ...environment };
    this.#url = resolved(url, this.#io.location);
    this.#token = token;
    this.#protocol = new Protocol(newClientId(), types);
    this.reconnect();
  }

  get state() {
    return this.#state;
  }

  get position() {
    return this.#protocol.position;
  }

  get limits() {
    return this.#protocol.limits;
  }

  get clientId() {
    return this.#protocol.clientId;
  }

  subscribe(types) {
    return this.#change("subscribe", types);
  }

  unsubscribe(types) {
    return this.#change("unsubscribe", types);
  }

  /** Connect now, resuming: the way back from "refused" and "closed". */
  reconnect() {
    this.#drop();
    this.#state = CONNECTING; // told by #open: whoever constructs the stream has no name for it yet
    this.#protocol.forgetFailures();
    this.#io.window?.addEventListener("online", this.#wake);
    this.#io.window?.addEventListener("offline", this.#wake);
    this.#io.document?.addEventListener("visibilitychange", this.#wakeIfVisible);
    this.#after(0, () => this.#open()); // not now: a handler that asks for it is to return first
  }

  /** Leave for good; no handler is called for events any more. */
  close() {
    this.#drop();
    this.#cancelHandOver(); // what waits is kept for a reconnect: it will not be replayed
    this.#io.window?.removeEventListener("online", this.#wake);
    this.#io.window?.removeEventListener("offline", this.#wake);
    this.#io.document?.removeEventListener("visibilitychange", this.#wakeIfVisible);
    this.#protocol.filter.abandon(
      new StreamError("closed", "the stream was closed before the gateway answered"),
    );
    this.#enter({ name: "closed" });
  }

  get #isConnected() {
    return this.#socket !== null && this.#protocol.connected;
  }

  #open() {
    this.#handOver(); // or what waits for a frame would be replayed, or told as lost
    if (this.#state.name !== "closed") this.#enter(CONNECTING);
    if (this.#state.name === "closed") return; // by a handler
    const address = new URL(this.#url);
    for (const [name, value] of Object.entries(this.#protocol.open()))
      address.searchParams.set(name, value);
    try {
      const key = this.#browserKey();
      const protocols =
        this.#token != null ? [`token.${this.#token}`] : key == null ? [] : [`key.${key}`];
      this.#socket = new this.#io.WebSocket(address.href, ["events.v1", ...protocols]);
    } catch (error) {
      this.#follow({ reconnect: "no", reason: "forbidden", message: error.message });
      return;
    }
    const socket = this.#socket;
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
    socket.onclose = ({ code }) => socket === this.#socket && this.#lost(code);
    socket.onerror = () => socket === this.#socket && this.#lost(1006); // node 20 skips the close
    this.#after(CONNECT_TIMEOUT_S, () => this.#lost(1006));
  }

  /** Only for the page's own origin: nobody else is to see it. */
  #browserKey() {
    const address = new URL(this.#url);
    address.protocol = address.protocol.replace(/^ws/, "http");
    return address.origin === this.#io.location?.origin ? this.#io.browserKey() : null;
  }

  #receive(data) {
    this.#heardAt = this.#io.now();
    const { connected, event, gap, error, answered } = this.#protocol.receive(data);
    if (connected) {
      for (const message of connected) this.#socket.send(JSON.stringify(message));
      this.#watch();
      this.#enter({ name: "live" });
    } else if (error && !answered) {
      this.#report(error);
    }
    if (event ?? gap) this.#deliver(event ?? gap);
    if (this.#batch.length === 0) this.#protocol.processed();
    if (gap?.reason === "slow_consumer" && this.#isConnected) this.#fallBehind();
  }

  /** The connection is gone: decide what follows. */
  #lost(code) {
    this.#drop();
    const verdict = this.#protocol.closed(code);
    if (verdict.reconnect === "ask") this.#ask();
    else this.#follow(verdict);
  }

  /** A browser tells 1006 for every refused upgrade: /api/session says which it was. */
  async #ask() {
    const asking = (this.#asking = new AbortController());
    this.#after(CONNECT_TIMEOUT_S, () => asking.abort());
    const address = new URL("api/session", this.#url);
    address.protocol = address.protocol.replace(/^ws/, "http");
    const key = this.#browserKey();
    const headers =
      this.#token != null
        ? { "X-Session-Token": this.#token }
        : key == null
          ? {}
          : { "X-Browser-Key": key };
    let verdict = UNREACHABLE;
    try {
      const answer = await this.#io.fetch(address.href, {
        headers,
        cache: "no-store",
        signal: asking.signal,
      });
      verdict = this.#protocol.refused(answer.status, await answer.json().catch(() => null));
    } catch {
      if (address.origin !== (this.#io.location?.origin ?? address.origin)) {
        const message =
          "the gateway is down, or this page's origin is missing in its SIGHTLINE_ALLOWED_ORIGINS";
        verdict = { ...UNREACHABLE, message };
      }
    }
    if (asking === this.#asking) this.#follow(verdict);
  }

  #follow({ reconnect, ...why }) {
    if (reconnect === "no") {
      this.#drop();
      this.#protocol.filter.abandon(new StreamError("refused", why.message ?? why.reason));
      this.#enter({ name: "refused", ...why });
      return;
    }
    this.#patient = reconnect === "after_a_minute";
    const retryInS = this.#patient ? MINUTE_S : this.#protocol.backoffS(this.#io.random());
    this.#after(retryInS, () => this.#open());
    this.#enter({ name: "reconnecting", retryInS, ...why });
  }

  /** Let go of socket, question and timers of the current phase. */
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#asking?.abort();
    this.#asking = null;
    this.#io.clearTimeout(this.#timer);
    this.#io.clearTimeout(this.#behindTimer);
  }

  #after(seconds, action) {
    this.#io.clearTimeout(this.#timer);
    this.#timer = this.#io.setTimeout(action, Math.min(seconds * 1000, MAX_TIMER_MS));
  }

  /** Ask for a sign of life once a heartbeat is overdue. No timer per frame: thousands may come. */
  #watch() {
    const silentS = (this.#io.now() - this.#heardAt) / 1000;
    const leftS = this.#protocol.heartbeatIntervalS + SILENCE_GRACE_S - silentS;
    if (leftS > 0) this.#after(leftS, () => this.#watch());
    else this.#probe();
  }

  /** A ping, which any frame may answer; silence means that the connection is dead. */
  #probe() {
    this.#heardAt = null;
    this.#socket.send('{"type":"ping"}');
    this.#after(PROBE_S, () => (this.#heardAt === null ? this.#lost(1006) : this.#watch()));
  }

  #wake = ({ type }) => {
    if (this.#isConnected) this.#probe();
    else if (type !== "offline" && this.#state.name === "reconnecting" && !this.#patient)
      this.#open();
  };

  #wakeIfVisible = (event) => {
    if (this.#io.document.visibilityState === "visible") this.#wake(event);
  };

  #fallBehind() {
    this.#io.clearTimeout(this.#behindTimer);
    this.#behindTimer = this.#io.setTimeout(() => this.#enter({ name: "live" }), BEHIND_S * 1000);
    this.#enter({ name: "behind", reason: "slow_consumer" });
  }

  #deliver(item) {
    if (!this.#batching) {
      this.#tell(item.type === "gap" ? "gap" : "event", item);
      return;
    }
    this.#batch.push(item);
    if (this.#batch.length >= BATCH_LIMIT) this.#handOver();
    else if (this.#batchTimer === null) {
      this.#frame = this.#io.requestAnimationFrame(() => this.#handOver());
      this.#batchTimer = this.#io.setTimeout(() => this.#handOver(), BATCH_TIMER_S * 1000);
    }
  }

  #handOver() {
    this.#cancelHandOver();
    const items = this.#batch;
    if (items.length === 0) return;
    this.#batch = [];
    for (const item of items) if (item.type === "gap") this.#tell("gap", item);
    this.#tell("events", items);
    this.#protocol.processed();
  }

  #cancelHandOver() {
    this.#io.cancelAnimationFrame(this.#frame);
    this.#io.clearTimeout(this.#batchTimer);
    this.#batchTimer = null;
  }

  #change(type, types) {
    const promise = new Promise((resolve, reject) => {
      const abandon = (error) => {
        promise.catch(() => {}); // who closes the stream need not await its changes first
        reject(error);
      };
      if (this.#state.name === "refused" || this.#state.name === "closed") {
        throw new StreamError(
          this.#state.name,
          `the stream is ${this.#state.name}: call reconnect() first`,
        );
      }
      const message = this.#protocol.filter.change(type, types, { resolve, reject, abandon });
      if (this.#isConnected) this.#socket.send(JSON.stringify(message));
    });
    return promise;
  }

  #enter(state) {
    this.#state = Object.freeze(state);
    this.#tell("state", this.#state);
  }

  /** Call handler and listeners. A handler that throws has had its event: it is not told again. */
  #tell(name, detail) {
    try {
      this.#on[name]?.(detail);
    } catch (cause) {
      this.#report(
        new StreamError("handler_failed", `the handler of "${name}" threw: ${cause}`, { cause }),
      );
    }
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Tell of an error, also in the console unless a listener prevents it: none goes unseen. */
  #report(error) {
    const event = new CustomEvent("error", { detail: error, cancelable: true });
    if (this.dispatchEvent(event)) console.error(error);
  }
}
