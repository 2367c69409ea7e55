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
  reason: "epoch_changed" | "expired" | "replay_limit" | "slow_consumer" | "undecodable";
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
   * Turns the text of a message into a value; default `JSON.parse`, which rounds numbers beyond 2^53.
   * If it throws, the message is reported as a gap.
   */
  parse?: (text: string) => unknown;
  /**
   * Resume from the gateway's journal, however long the page was away: no gap says `expired` or
   * `replay_limit`. After a change of the epoch, a gap and then all of the new epoch arrive. A gateway
   * without a journal refuses it.
   */
  backfill?: boolean;
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

/** `code` is the gateway's, or "handler_failed", "malformed_message", "too_many_changes", "refused", "closed", "not_logged_in". */
export declare class StreamError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: { cause?: unknown });
}

export interface HistoryOptions {
  /** As of `EventStreamOptions`. */
  url?: string;
  token?: string;
  types?: readonly Pattern[];
  parse?: (text: string) => unknown;
  /** Exclusive. A number counts in the current epoch. */
  after?: Position | number;
  before?: Position | number;
  /** By position, never by time. Default "asc". */
  order?: "asc" | "desc";
  /** ISO 8601, Unix milliseconds, or an age such as "2h"; inclusive. */
  since?: string | number;
  /** The same, exclusive. */
  until?: string | number;
  /** `metadata.agent`. */
  agent?: string;
  session_id?: string;
  /** Words that all occur in data or metadata; a phrase stands in quotes. */
  q?: string;
  /** The size of a page, 1 to 1,000; not of the result. */
  limit?: number;
  signal?: AbortSignal;
  environment?: Record<string, unknown>;
}

/** Events and gaps, read a page at a time. */
export interface History extends AsyncIterable<StreamEvent | Gap> {
  /** How many events match `q`, from the first item on; null where counting takes too long. */
  readonly matches: number | null;
  /** Of the last item read. */
  readonly position: Position | null;
}

/** What the gateway's journal holds. Throws a `StreamError` while iterating. */
export declare function history(options?: HistoryOptions): History;

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

/**
 * The second half of a log-in at the page's own origin: send it as the `X-Browser-Key` header. Null
 * without one. `base` is the path that the gateway is mounted at, "/" by default.
 */
export declare function browserKey(base?: string): string | null;

/** Log this browser in at the page's own origin, with a ticket; rejects with a `StreamError`. */
export declare function logIn(ticket: string, base?: string): Promise<void>;

/** Whether `text` is a well-formed pattern. */
export declare function isPattern(text: unknown): text is Pattern;
