import type { EventData } from "./events.d.ts";

export type { EventData } from "./events.d.ts";

export type EventType = keyof EventData;

/** An event: comparing `type` narrows `data`. */
export type StreamEvent<T extends EventType = EventType> = {
  [K in T]: {
    type: K;
    timestamp: string;
    sequence_number: number;
    data: EventData[K];
    metadata: Metadata;
  };
}[T];

/** Any keys besides these names. */
export interface Metadata {
  source?: string;
  agent?: string;
  correlation_id?: string;
  causation_id?: string;
  [field: string]: unknown;
}

/**
 * What was lost: the range is inclusive; null is what cannot be known.
 * `undecodable` comes from this client: the gateway sent a message that it cannot read.
 */
export interface Gap {
  type: "gap";
  from_sequence_number: number | null;
  to_sequence_number: number | null;
  dropped: number | null;
  reason:
    | "epoch_changed"
    | "expired"
    | "not_stored"
    | "replay_limit"
    | "slow_consumer"
    | "undecodable";
}

/** The gateway's own condition, in words for people, such as `backend_away` and `backend_back`. */
export interface Notice {
  type: "notice";
  timestamp: string;
  code: string;
  message: string;
}

export interface Position {
  readonly epoch: string;
  readonly sequence_number: number;
}

export interface Limits {
  max_clients: number;
  queue_size: number;
  replay_limit: number;
  replay_window_s: number;
  max_message_bytes: number;
  max_event_bytes: number;
}

export type State =
  | { readonly name: "connecting" }
  | { readonly name: "live" }
  | { readonly name: "behind"; readonly reason: "slow_consumer" }
  | {
      readonly name: "reconnecting";
      /** Seconds from the report of this state to the next attempt. */
      readonly retryInS: number;
      readonly reason: "connection lost" | "restarting" | "full" | "down" | "too many messages";
      readonly message?: string;
    }
  | {
      readonly name: "refused";
      readonly reason:
        "not logged in" | "forbidden" | "bad request" | "replaced" | "message too big";
      readonly message?: string;
    }
  | { readonly name: "closed" };

/** `*`, `git.*`, `*.failed`, `git.commit_created`. */
export type Pattern = string;

export interface EventStreamOptions {
  /** Relative to the page, or absolute with http, https, ws or wss. Default "/ws". */
  url?: string;
  /** The session token, for pages without the login cookie. */
  token?: string;
  /** The event types to receive; absent is everything, an empty array nothing. */
  types?: readonly Pattern[];
  onEvent?: (event: StreamEvent) => void;
  /** With `batch`: the items since the last animation frame, in order, gaps included. */
  onEvents?: (items: Array<StreamEvent | Gap>) => void;
  onGap?: (gap: Gap) => void;
  onState?: (state: State) => void;
  onNotice?: (notice: Notice) => void;
  /** Hand over once per animation frame, through `onEvents` in place of `onEvent`. */
  batch?: boolean;
  /**
   * Fill gaps from the gateway's journal before later events are handed over. What it does not hold
   * stays a gap, and a change of the epoch is always one.
   */
  backfill?: boolean;
  /**
   * Turns the text of a message into a value; default `JSON.parse`, which rounds numbers beyond 2^53.
   * If it throws, the message is reported as a gap.
   */
  parse?: (text: string) => unknown;
  /** What stands in for the page's own WebSocket, fetch, timers and so on; for tests. */
  environment?: Record<string, unknown>;
}

export interface EventStreamEventMap {
  event: CustomEvent<StreamEvent>;
  events: CustomEvent<Array<StreamEvent | Gap>>;
  gap: CustomEvent<Gap>;
  state: CustomEvent<State>;
  notice: CustomEvent<Notice>;
  error: CustomEvent<StreamError>;
}

/** `code` is the gateway's, or "handler_failed", "malformed_message", "too_many_changes", "refused", "closed", "not_logged_in", "unreachable". */
export declare class StreamError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: { cause?: unknown });
}

/** A live stream of events that reconnects and resumes by itself. */
export declare class EventStream extends EventTarget {
  /** Throws a `StreamError` for a malformed pattern, a `TypeError` for a malformed url or token. */
  constructor(options?: EventStreamOptions);
  readonly state: State;
  /** The last event processed; null before the first connection. */
  readonly position: Position | null;
  /** The gateway's limits, from `connected`; null before. */
  readonly limits: Limits | null;
  readonly clientId: string;
  /** Add patterns; resolves with the whole filter once it is in force. */
  subscribe(types: readonly Pattern[]): Promise<Pattern[]>;
  /** Take out exactly these patterns; resolves with the whole filter once it is in force. */
  unsubscribe(types: readonly Pattern[]): Promise<Pattern[]>;
  /** Connect now, resuming: the way back from "refused" and "closed". */
  reconnect(): void;
  /** Leave; nothing is handed over any more. */
  close(): void;
  addEventListener<K extends keyof EventStreamEventMap>(
    type: K,
    listener: (this: EventStream, event: EventStreamEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof EventStreamEventMap>(
    type: K,
    listener: (this: EventStream, event: EventStreamEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** ISO 8601, Unix milliseconds, an age such as "2h" or "7d", or a `Date`. */
export type Time = string | number | Date;

export interface HistoryOptions {
  /** As for `EventStream`. */
  url?: string;
  token?: string;
  /** Exclusive: a position, "epoch:number", or a number of the current epoch. */
  after?: Position | string | number;
  before?: Position | string | number;
  /** "asc" (default): oldest first; "desc": newest first. */
  order?: "asc" | "desc";
  /** Inclusive. */
  since?: Time;
  /** Exclusive. */
  until?: Time;
  types?: readonly Pattern[];
  /** `metadata.agent`. */
  agent?: string;
  session_id?: string;
  /** Words that all occur in data or metadata; a phrase in quotes. */
  q?: string;
  /** The size of a page, from 1 to 1,000 (default); not of the result. */
  limit?: number;
  /** Turns the text of a page into a value; default `JSON.parse`. */
  parse?: (text: string) => unknown;
  signal?: AbortSignal;
  /** For tests, as for `EventStream`. */
  environment?: Record<string, unknown>;
}

/** Iterate with `for await`; a page at a time is held in memory. */
export interface History extends AsyncIterable<StreamEvent | Gap> {
  /** How many events match `q`, from the first item on; null where counting takes too long. */
  readonly matches: number | null;
  /** Of the last item; at the end, how far the history goes. */
  readonly position: Position | null;
}

/** Read the past from the gateway's journal. Iterating rejects with a `StreamError`. */
export declare function history(options?: HistoryOptions): History;

/**
 * The second half of a log-in at the page's own origin: send it as the `X-Browser-Key` header. Null
 * without one. `base` is the path that the gateway is mounted at, "/" by default.
 */
export declare function browserKey(base?: string): string | null;

/** Log this browser in at the page's own origin, with a ticket; rejects with a `StreamError`. */
export declare function logIn(ticket: string, base?: string): Promise<void>;

/** Whether `text` is a well-formed pattern. */
export declare function isPattern(text: unknown): text is Pattern;
