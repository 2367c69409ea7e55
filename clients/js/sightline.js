/**
 * The browser client of the Sightline gateway: connects, resumes, and reports what was lost.
 *
 * `Protocol` decides and `EventStream` acts: the first is pure, without socket, timer or clock; the
 * second is the shell that pages use. The wire contract is docs/protocol.md of the gateway.
 */

const BACKOFF_MIN_S = 0.5;
const BACKOFF_MAX_S = 30;
const MINUTE_S = 60; // pause after refused messages; time that a connection must last to reset the failures
const MAX_RETRY_AFTER_S = 600; // an answer that asks for a longer pause is not believed
const CONNECT_TIMEOUT_S = 10; // from the first attempt to `connected`, and for /api/session
const SILENCE_GRACE_S = 5; // beyond the heartbeat's interval, before a sign of life is asked for
const HEARTBEAT_S = 30; // where the gateway does not say how often it beats
const PROBE_S = 5; // a pong arrives well within 5 s even during a flood of events
const BEHIND_S = 5; // without a further loss, before `behind` is `live` again
const BATCH_TIMER_S = 0.25; // without animation frames: in a hidden tab, or outside a page
const BATCH_LIMIT = 1000; // a fuller batch is handed over at once: nothing is dropped or piled up
const MAX_PATTERNS = 256;
const MAX_PATTERN_LENGTH = 64;
const MAX_FILTER_LENGTH = 4096; // in the address; of the request 8 KiB are read, cookies and all
const MAX_CHANGES = 1000; // unanswered ones
const PAGE = 1000; // events of the history in one answer, the most that a gateway sends
const WAITING_LIMIT = 1000; // items that wait while a gap is filled; the fill then goes further
const TRIES = 8; // to get one page, over a minute at most
const FILLED = new Set(["expired", "replay_limit", "slow_consumer", "epoch_changed"]);
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

/** The filter as the gateway confirmed it, and the changes that it has not answered yet. */
class Filter {
  #confirmed; // null: not confirmed yet and not requested, which means everything
  #changes = [];
  #lastId = 0;

  constructor(types) {
    this.#confirmed = types == null ? null : checked(types);
  }

  /** What the next upgrade asks for; null leaves it out. */
  get wanted() {
    return this.#changes.reduce((types, change) => applied(types ?? ["*"], change), this.#confirmed);
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
    this.#confirmed = types;
    const carried = this.#changes.filter((change) => change.carried);
    this.#changes = this.#changes.filter((change) => !change.carried);
    for (const change of carried) change.resolve(types);
    return this.#changes.map((change) => change.message);
  }

  answered(id, types) {
    this.#confirmed = types;
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

/** What one client knows of the stream, and what follows from each message. Pure. */
export class Protocol {
  position = null; // the last one processed; what a reconnect resumes from
  limits = null;
  heartbeatIntervalS = 0;
  #epoch = null; // of the current connection; null until its `connected`
  #received = null; // the last position taken in; ahead of `position` by what is not yet processed
  #attempt = 0; // failures since the last connection that lasted a minute
  #parse;

  /** `parse` turns the text of a message into a value; a text that makes it throw is reported as a gap. */
  constructor(clientId, types, parse = JSON.parse) {
    this.clientId = clientId;
    this.#parse = parse;
    this.filter = new Filter(types);
  }

  /** The last position taken in. */
  get received() {
    return this.#received;
  }

  /** Begin a connection: the parameters of its upgrade, which resumes from a position. */
  open(position = this.position) {
    this.#epoch = null;
    this.filter.carry();
    const types = this.filter.wanted;
    return {
      client_id: this.clientId,
      ...(types && { types: types.join(",") }),
      ...(position && {
        last_sequence_number: String(position.sequence_number),
        epoch: position.epoch,
      }),
    };
  }

  get connected() {
    return this.#epoch !== null;
  }

  /** Take in one raw message: what to report of it, or to send because of it. */
  receive(text) {
    const message = this.#decode(text);
    if (!message) {
      const error = new StreamError("malformed_message", `the gateway sent ${excerpt(text)}`);
      return this.connected ? { error, gap: undecodable(null) } : { error };
    }
    if (message.type === "connected") return { connected: this.#connect(message) };
    if (!this.connected) {
      const error = `${message.type} came before connected`;
      return { error: new StreamError("malformed_message", error) };
    }
    if (message.type.includes(".")) {
      if (!this.#advance(message.sequence_number)) return {};
      if (isObject(message.data) && isObject(message.metadata)) return { event: message };
      const error = `data and metadata of an event are objects: ${excerpt(text)}`;
      return {
        error: new StreamError("malformed_message", error),
        gap: undecodable(message.sequence_number),
      };
    }
    switch (message.type) {
      case "gap":
        if (message.reason === "epoch_changed") this.#received = this.#at(0);
        else if (message.to_sequence_number != null) this.#advance(message.to_sequence_number);
        return { gap: message };
      case "heartbeat": // of the new epoch, before its gap: the position waits for the gap
        if (this.#received.epoch === this.#epoch) this.#advance(message.sequence_number);
        return {};
      case "notice":
        return { notice: message };
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

  /** Everything up to `position` has been processed, by default everything taken in so far. */
  processed(position = this.#received) {
    this.position = position;
  }

  /** The history led to `position`, which may be of a later epoch than the connection. */
  reach(position) {
    if (position.epoch !== this.#received.epoch) this.#received = position;
  }

  /** What follows from a close code: "backoff", "after_a_minute", "no", or "ask" first. */
  closed(code) {
    if (code === 1006 && !this.connected) return { reconnect: "ask" };
    return CLOSED[code] ?? { reconnect: "backoff", reason: "connection lost" };
  }

  /** What follows from the answer of /api/session after a failed upgrade. */
  refused(status, answer, retryAfterS = 0) {
    const said = typeof answer?.message === "string" && { message: answer.message };
    const verdict = REFUSED[status] ?? UNREACHABLE;
    if (status !== 200) return { ...verdict, ...said, ...(retryAfterS > 0 && { retryAfterS }) };
    if (answer?.identity?.read?.length === 0) return REFUSED[403]; // a token that only publishes
    if (answer?.places_taken >= answer?.limits?.max_clients) return REFUSED[503];
    const message =
      "the gateway answers, but its WebSocket did not open; a proxy between must pass upgrades on";
    return { reconnect: "backoff", reason: "connection lost", message };
  }

  /**
   * Seconds until the next attempt, by full jitter; `random` is a draw from [0, 1).
   * A pause that the gateway asked for is the least: clients spread over as long again, or they would
   * all return at the same moment.
   */
  backoffS(random, leastS = 0) {
    const ceiling = Math.min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** this.#attempt);
    const least = Math.min(leastS, MAX_RETRY_AFTER_S);
    this.#attempt += 1;
    return least + random * Math.max(ceiling, least);
  }

  /** The connection ended after `seconds`. Only a minute without failure resets their count. */
  lasted(seconds) {
    if (this.connected && seconds >= MINUTE_S) this.forgetFailures();
  }

  forgetFailures() {
    this.#attempt = 0;
  }

  #connect(message) {
    this.#epoch = message.epoch;
    this.#received ??= this.#at(message.sequence_number);
    this.limits = message.limits;
    this.heartbeatIntervalS = Number.isFinite(message.heartbeat_interval_s)
      ? message.heartbeat_interval_s
      : HEARTBEAT_S;
    return this.filter.connected(message.types);
  }

  /** The message in `text`, with every number that this client counts with; undefined if it is none. */
  #decode(text) {
    try {
      const message = this.#parse(text);
      const { type } = message;
      if (typeof type !== "string") return undefined;
      const check = type.includes(".") ? isNumbered : CHECKS.get(type);
      return !check || check(message) ? message : undefined;
    } catch {
      return undefined;
    }
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

const isEpoch = (value) => typeof value === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(value);
const isNumber = (value) => Number.isSafeInteger(value) && value >= 0;
const isNumbered = ({ sequence_number }) => isNumber(sequence_number);
const CHECKS = new Map([
  ["connected", (m) => isNumbered(m) && isEpoch(m.epoch) && Array.isArray(m.types)],
  ["heartbeat", isNumbered],
  ["gap", ({ to_sequence_number: to }) => to == null || isNumber(to)],
  ["subscribed", ({ types }) => Array.isArray(types)],
  ["error", ({ code, message }) => typeof code === "string" && typeof message === "string"],
  ["notice", ({ code, message }) => typeof code === "string" && typeof message === "string"],
]);
const isAt = (position, target) =>
  position.epoch === target.epoch && position.sequence_number >= target.sequence_number;

/**
 * Reads the history from a position to that of a gap, whose `after` may move on meanwhile: ask for
 * `query` until it is null. `read` and `failed` return what to hand over. Pure.
 */
class Fill {
  tries = 0; // failures since the last page
  #start;
  #reached;
  #entry;
  #types;
  #isAhead;
  #isOver = false;

  /** It stops before an epoch that `isAhead`, whose events have arrived. */
  constructor(start, entry, types, isAhead) {
    this.#isAhead = isAhead;
    this.#start = this.#reached = start;
    this.#entry = entry;
    this.#types = types?.join(",");
  }

  get query() {
    if (this.#isOver) return null;
    return { after: positionText(this.#reached), limit: PAGE, types: this.#types };
  }

  read(page) {
    const before = this.#reached;
    const { epoch } = before;
    const { after: end, item: gap } = this.#entry;
    if (page.epoch !== epoch || page.gap?.reason === "epoch_changed") return this.#leave(); // unknown
    const until = end.epoch === epoch ? end.sequence_number : Infinity;
    const found = entriesOf(page, until);
    this.#reached = { epoch, sequence_number: Math.min(page.next, until) };
    const next = epochIn(page.newer);
    if (isAt(this.#reached, end)) this.#isOver = true;
    else if (next === null && until === Infinity) {
      // Nothing is stored of the epoch that follows.
      return [...found, ...this.#finish(gap, epoch === this.#start.epoch ? end : this.#reached)];
    } else if (next !== null && next !== epoch) {
      const isBeyond = next !== end.epoch && this.#isAhead(next); // the journal forgets an empty epoch
      if (until < Infinity || isBeyond) return [...found, ...this.#leave()]; // the rest was lost
      this.#reached = { epoch: next, sequence_number: Number(page.newer.slice(next.length + 1)) };
      this.#isOver = isAt(this.#reached, end);
      found.push({ item: changedEpoch(), after: this.#reached });
    } else if (this.#reached.sequence_number === before.sequence_number) {
      return this.failed(true); // not stored yet
    }
    this.tries = 0;
    return found;
  }

  failed(temporary) {
    this.tries += 1;
    return temporary && this.tries <= TRIES ? [] : this.#leave();
  }

  /** What is not filled stays a gap. */
  #leave() {
    let gap = this.#entry.item;
    if (gap.to_sequence_number != null && this.#reached !== this.#start) {
      const from = Math.max(gap.from_sequence_number ?? 0, this.#reached.sequence_number + 1);
      gap = { ...gap, from_sequence_number: from, dropped: null };
    }
    return this.#finish(gap, this.#entry.after);
  }

  #finish(item, after) {
    this.#isOver = true;
    return [{ item, after }];
  }
}

/** The items of a page up to a number, each with the position after it. */
function entriesOf(page, until) {
  const found = [];
  for (const item of itemsOf(page)) {
    if ((item.sequence_number ?? item.from_sequence_number) > until) break;
    const number = Math.min(numberOf(item), until);
    const whole = number === numberOf(item);
    found.push({
      item: whole ? item : { ...item, to_sequence_number: number, dropped: null },
      after: { epoch: page.epoch, sequence_number: number },
    });
  }
  return found;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const excerpt = (text) => (typeof text === "string" ? text.slice(0, 80) : "a binary frame");

/** What a handler threw, as text: it may be any value at all. */
function saidBy(cause) {
  try {
    return String(cause);
  } catch {
    return "a value that has no text";
  }
}

const keyName = (base) => `sightline.browser_key${base.replace(/\/$/, "")}`;

/**
 * The second half of a log-in at the page's own origin, which the cookie needs beside it; null without
 * one. `base` is the path that the gateway is mounted at.
 */
export function browserKey(base = "/") {
  try {
    return globalThis.localStorage?.getItem(keyName(base)) ?? null;
  } catch {
    return null; // a page without storage, such as a sandboxed frame
  }
}

/** Log this browser in at the page's own origin with a ticket; cookie and browser key are kept. */
export async function logIn(ticket, base = "/") {
  const answer = await fetch(`${base.replace(/\/$/, "")}/api/login`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ticket }),
  });
  if (!answer.ok) throw new StreamError("not_logged_in", (await answer.json()).message);
  localStorage.setItem(keyName(base), answer.headers.get("X-Browser-Key"));
}

/** The loss of one message that this client cannot read; its number is null if that is unreadable too. */
function undecodable(number) {
  const range = { from_sequence_number: number, to_sequence_number: number };
  return { type: "gap", ...range, dropped: 1, reason: "undecodable" };
}

/** The seconds of a `Retry-After` header, which holds a number or a date; 0 for neither. */
function retryAfterS(header, nowMs) {
  if (/^\d+$/.test(header ?? "")) return Number(header);
  return Math.max(0, (Date.parse(header) - nowMs) / 1000) || 0;
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
    wallClock: () => Date.now(), // for a Retry-After that is a date, and nothing else
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

/** The browser key, for the page's own origin alone: no other origin may see it. */
function keyFor(url, io) {
  const address = new URL(url);
  address.protocol = address.protocol.replace(/^ws/, "http");
  if (address.origin !== io.location?.origin) return null;
  return io.browserKey(new URL(".", address).pathname);
}

/** The address of an HTTP route beside the socket's, and the headers that let a request in. */
function routeTo(path, url, token, io) {
  const address = new URL(path, url);
  address.protocol = address.protocol.replace(/^ws/, "http");
  if (token != null) return { address, headers: { "X-Session-Token": token } };
  const key = keyFor(url, io);
  return { address, headers: key == null ? {} : { "X-Browser-Key": key } };
}

function checkedToken(token) {
  if (token != null && !TOKEN.test(token)) {
    throw new TypeError(
      "token holds a character that cannot travel in a header: copy it again, without spaces",
    );
  }
  return token;
}

/** One page of `GET /api/events`. Rejects with a `StreamError`, `temporary` where trying again may help. */
async function pageOf({ url, token, io, parse, signal }, query) {
  const { address, headers } = routeTo("api/events", url, token, io);
  for (const [name, value] of Object.entries(query))
    if (value != null) address.searchParams.set(name, value);
  const failed = (code, message, temporary, cause) =>
    Object.assign(new StreamError(code, message, { cause }), { temporary });
  let answer, text;
  try {
    answer = await io.fetch(address.href, { headers, cache: "no-store", signal });
    text = await answer.text();
  } catch (cause) {
    throw failed("unreachable", `${address.origin} gave no complete answer`, true, cause);
  }
  if (!answer.ok) {
    let said = null;
    try {
      said = JSON.parse(text);
    } catch {
      // from a proxy
    }
    const { status } = answer;
    const temporary = status === 429 || status >= 500;
    throw failed(said?.code ?? "refused", said?.message ?? `the answer was ${status}`, temporary);
  }
  try {
    const page = parse(text);
    if (isEpoch(page.epoch) && isNumber(page.next) && page.events.every(isNumbered)) return page;
  } catch {
    // as below
  }
  throw failed("malformed_message", `the gateway sent ${excerpt(text)}`, false);
}

const positionText = (position) =>
  typeof position === "object" && position !== null
    ? `${position.epoch}:${position.sequence_number}`
    : position;
const timeText = (time) => (time instanceof Date ? time.toISOString() : time);
const epochIn = (position) => /^(.+):/.exec(position ?? "")?.[1] ?? null;
const changedEpoch = () => ({
  type: "gap",
  from_sequence_number: null,
  to_sequence_number: null,
  dropped: null,
  reason: "epoch_changed",
});

/** Events and gaps of the past, read a page at a time: iterate over it with `for await`. */
class History {
  matches = null;
  position = null;
  #asking;
  #query;

  constructor(asking, query) {
    this.#asking = asking;
    this.#query = query;
  }

  async *[Symbol.asyncIterator]() {
    const [toward, limit] = this.#query.order === "desc" ? ["older", "before"] : ["newer", "after"];
    let query = this.#query;
    let epoch = epochIn(query.after ?? query.before);
    let changed = false; // an epoch ended, and no item of the next one came yet
    for (let first = true; query; first = false) {
      const page = await pageOf(this.#asking, query);
      if (first) this.matches = page.matches ?? null;
      changed ||= epoch !== null && epoch !== page.epoch && page.gap?.reason !== "epoch_changed";
      epoch = page.epoch;
      for (const item of itemsOf(page)) {
        if (changed) yield changedEpoch();
        changed = false;
        this.position = { epoch, sequence_number: numberOf(item) };
        yield item;
      }
      const end =
        page[toward] ?? (toward === "newer" && page.events.length ? `${epoch}:${page.next}` : null);
      query = end === null || end === query[limit] ? null : { ...query, [limit]: end };
      if (!query && toward === "newer") this.position = { epoch, sequence_number: page.next };
    }
  }
}

const itemsOf = (page) => (page.gap ? [page.gap, ...page.events] : page.events);
const numberOf = (item) => item.sequence_number ?? item.to_sequence_number ?? 0;

/** Read the past: `for await (const item of history({ q: "nightly", since: "7d" }))`. See README.md. */
export function history({
  url = "/ws",
  token,
  parse = JSON.parse,
  signal,
  environment,
  after,
  before,
  order = "asc",
  since,
  until,
  types,
  agent,
  session_id,
  q,
  limit = PAGE,
} = {}) {
  const io = { ...surroundings(), ...environment };
  const asking = { url: resolved(url, io.location), token: checkedToken(token), io, parse, signal };
  return new History(asking, {
    after: positionText(after),
    before: positionText(before),
    // Without it, a position and a time, pages would begin in the current epoch.
    order: order === "desc" || (since ?? after) == null ? order : undefined,
    since: timeText(since),
    until: timeText(until),
    types: types && checked(types).join(","),
    agent,
    session_id,
    q,
    limit,
  });
}

function newClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // unlike randomUUID, also on plain http
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A live stream of events that reconnects and resumes by itself. See README.md.
 *
 * An `EventTarget` of "event" (or "events", with `batch`), "gap", "state", "notice" and "error",
 * which carry a `detail`.
 */
export class EventStream extends EventTarget {
  #on;
  #batching;
  #io;
  #url;
  #token;
  #protocol;
  #state = CONNECTING;
  #socket = null; // the current one: messages of an older one are ignored
  #asking = null; // the abort controller of the question to /api/session
  #timer = null; // of the current phase: opening, live, asking or waiting
  #behindTimer = null;
  #batch = []; // received and not yet handed over, at most BATCH_LIMIT
  #batchTimer = null;
  #frame = null;
  #receivedAt = null; // when the last frame arrived; null while a sign of life is requested
  #connectedAt = 0; // when the last `connected` arrived
  #waiting = []; // behind a gap that is being filled, the first: { item, after }
  #reached = null; // the position of what was delivered last, while anything waits
  #filling = null; // the abort controller of the fill under way
  #parse;
  #backfill;
  #patient = false; // whether waiting is not to be cut short by the page coming back

  constructor({
    url = "/ws",
    token,
    types,
    onEvent,
    onEvents,
    onGap,
    onState,
    onNotice,
    batch = false,
    backfill = false,
    parse = JSON.parse,
    environment,
  } = {}) {
    super();
    this.#on = { event: onEvent, events: onEvents, gap: onGap, state: onState, notice: onNotice };
    this.#batching = batch;
    this.#io = { ...surroundings(), ...environment };
    this.#url = resolved(url, this.#io.location);
    this.#token = checkedToken(token);
    this.#backfill = backfill;
    this.#parse = parse;
    this.#protocol = new Protocol(newClientId(), types, parse);
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
    this.#state = CONNECTING; // #open reports it, as the caller has no name for the stream yet
    this.#protocol.forgetFailures();
    this.#io.window?.addEventListener("online", this.#wake);
    this.#io.window?.addEventListener("offline", this.#wake);
    this.#io.document?.addEventListener("visibilitychange", this.#wakeIfVisible);
    if (this.#waiting.length > 0 && !this.#filling) this.#fillWaiting();
    this.#after(0, () => this.#open()); // not now: a handler that asks for it is to return first
  }

  /** Leave for good; no handler is called for events any more. */
  close() {
    this.#drop();
    this.#filling?.abort();
    this.#filling = null;
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
    this.#handOver(); // or events that wait for a frame would be replayed, or reported as lost
    if (this.#state.name !== "closed") this.#enter(CONNECTING);
    if (this.#state.name === "closed") return; // by a handler
    const from = this.#waiting.length > 0 ? this.#protocol.received : undefined;
    const address = new URL(this.#url);
    for (const [name, value] of Object.entries(this.#protocol.open(from)))
      address.searchParams.set(name, value);
    try {
      const key = keyFor(this.#url, this.#io);
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

  #receive(data) {
    this.#receivedAt = this.#io.now();
    const before = this.#protocol.received;
    const { connected, event, gap, notice, error, answered } = this.#protocol.receive(data);
    if (connected) {
      this.#connectedAt = this.#receivedAt;
      for (const message of connected) this.#socket.send(JSON.stringify(message));
      this.#watch();
      this.#enter({ name: "live" });
    } else if (error && !answered) {
      this.#report(error);
    }
    if (notice) this.#tell("notice", notice);
    const item = event ?? gap;
    if (item && (this.#waiting.length > 0 || this.#isFilled(item))) this.#wait(item, before);
    else if (item) this.#deliver(item);
    if (this.#batch.length === 0 && this.#waiting.length === 0) this.#protocol.processed();
    if (gap?.reason === "slow_consumer" && this.#isConnected) this.#fallBehind();
  }

  /** The connection ended: decide what follows. */
  #lost(code) {
    this.#drop();
    this.#protocol.lasted((this.#io.now() - this.#connectedAt) / 1000);
    const verdict = this.#protocol.closed(code);
    if (verdict.reconnect === "ask") this.#ask();
    else this.#follow(verdict);
  }

  /** A browser reports 1006 for every refused upgrade: /api/session has the reason. */
  async #ask() {
    const asking = (this.#asking = new AbortController());
    this.#after(CONNECT_TIMEOUT_S, () => asking.abort());
    const { address, headers } = routeTo("api/session", this.#url, this.#token, this.#io);
    let verdict = UNREACHABLE;
    try {
      const answer = await this.#io.fetch(address.href, {
        headers,
        cache: "no-store",
        signal: asking.signal,
      });
      const pauseS = retryAfterS(answer.headers?.get("Retry-After"), this.#io.wallClock());
      const said = await answer.json().catch(() => null);
      verdict = this.#protocol.refused(answer.status, said, pauseS);
    } catch {
      if (address.origin !== (this.#io.location?.origin ?? address.origin)) {
        const message =
          "the gateway is down, or this page's origin is missing in its SIGHTLINE_ALLOWED_ORIGINS";
        verdict = { ...UNREACHABLE, message };
      }
    }
    if (asking === this.#asking) this.#follow(verdict);
  }

  #follow({ reconnect, retryAfterS, ...why }) {
    if (reconnect === "no") {
      this.#drop();
      this.#protocol.filter.abandon(new StreamError("refused", why.message ?? why.reason));
      this.#enter({ name: "refused", ...why });
      return;
    }
    this.#patient = reconnect === "after_a_minute";
    const leastS = this.#patient ? MINUTE_S : retryAfterS;
    const retryInS = this.#protocol.backoffS(this.#io.random(), leastS);
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

  /** Ask for a sign of life once a heartbeat is overdue. No timer per frame: there may be thousands. */
  #watch() {
    const silentS = (this.#io.now() - this.#receivedAt) / 1000;
    const leftS = this.#protocol.heartbeatIntervalS + SILENCE_GRACE_S - silentS;
    if (leftS > 0) this.#after(leftS, () => this.#watch());
    else this.#probe();
  }

  /** A ping, which any frame may answer; silence means that the connection is dead. */
  #probe() {
    this.#receivedAt = null;
    this.#socket.send('{"type":"ping"}');
    this.#after(PROBE_S, () => (this.#receivedAt === null ? this.#lost(1006) : this.#watch()));
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
    const reached = this.#waiting.length > 0 ? this.#reached : undefined;
    for (const item of items) if (item.type === "gap") this.#tell("gap", item);
    this.#tell("events", items);
    this.#protocol.processed(reached);
  }

  #isFilled(item) {
    return this.#backfill && item.type === "gap" && FILLED.has(item.reason);
  }

  /** Keep an item until the gap before it, or itself, is filled. `before` is the position before it. */
  #wait(item, before) {
    const waiting = this.#waiting;
    if (waiting.length === 0) this.#reached = before;
    waiting.push({ item, after: this.#protocol.received });
    if (waiting.length > WAITING_LIMIT) {
      const [first, dropped] = waiting;
      waiting.splice(1, 1);
      first.after = dropped.after; // the history has it, too
      if (dropped.item.reason === "epoch_changed") first.item = dropped.item;
      if (first.item.reason !== "epoch_changed")
        first.item = { ...first.item, to_sequence_number: numberOf(dropped.item), dropped: null };
    }
    if (!this.#filling) this.#fillWaiting();
  }

  /** Hand over what waits, in order, gaps filled. What arrives meanwhile waits, too. */
  async #fillWaiting() {
    const filling = (this.#filling = new AbortController());
    const waiting = this.#waiting;
    while (waiting.length > 0) {
      const [entry] = waiting;
      if (isAt(this.#reached, entry.after)) waiting.shift(); // a page brought it
      else if (this.#isFilled(entry.item)) await this.#fill(entry, filling.signal);
      else this.#handOn(entry.item, entry.after, waiting.shift());
      if (filling.signal.aborted) return;
    }
    this.#filling = null;
    this.#protocol.reach(this.#reached);
    if (this.#batch.length === 0) this.#protocol.processed();
  }

  /** Hand over what the history has up to the position of a gap; the rest stays a gap. */
  async #fill(entry, signal) {
    const isAhead = (epoch) => this.#waiting.some(({ after }) => after?.epoch === epoch);
    const fill = new Fill(this.#reached, entry, this.#protocol.filter.wanted, isAhead);
    const asking = { url: this.#url, token: this.#token, io: this.#io, parse: this.#parse, signal };
    while (fill.query) {
      const found = await pageOf(asking, fill.query).then(
        (page) => fill.read(page),
        (error) => fill.failed(error.temporary),
      );
      if (signal.aborted) return;
      for (const { item, after } of found) {
        this.#handOn(item, after);
        if (signal.aborted) return; // by a handler
      }
      if (fill.query && fill.tries > 0) await this.#pause(fill.tries, signal);
      if (signal.aborted) return;
    }
    this.#waiting.shift();
  }

  #pause(tries, signal) {
    const ceiling = Math.min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** (tries - 1));
    return new Promise((resolve) => {
      const timer = this.#io.setTimeout(resolve, this.#io.random() * ceiling * 1000);
      signal.addEventListener("abort", () => resolve(this.#io.clearTimeout(timer)), { once: true });
    });
  }

  #handOn(item, after) {
    this.#reached = Object.freeze(after);
    this.#deliver(item);
    if (this.#batch.length === 0) this.#protocol.processed(this.#reached);
  }

  #cancelHandOver() {
    this.#io.cancelAnimationFrame(this.#frame);
    this.#io.clearTimeout(this.#batchTimer);
    this.#batchTimer = null;
  }

  #change(type, types) {
    const promise = new Promise((resolve, reject) => {
      const abandon = (error) => {
        promise.catch(() => {}); // closing the stream need not wait for its pending changes
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

  /** Call handler and listeners. A handler that throws does not get its event again. */
  #tell(name, detail) {
    try {
      this.#on[name]?.(detail);
    } catch (cause) {
      this.#report(
        new StreamError("handler_failed", `the handler of "${name}" threw: ${saidBy(cause)}`, {
          cause,
        }),
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
