/**
 * Loads what agents did before the page was opened.
 *
 * Pages of the journal come from the newest to the oldest; a gateway without a journal answers with what it retains.
 */

import { parse } from "../json.js";
import { keyHeaders } from "../login-key.js";

const PAGE = 1000;
const MOST_PAGES = 20;
const MOST_CHARACTERS = 64_000_000;
const TYPES = "agent.*";
const SINCE = "24h"; // as far back as `sightline events sessions` looks

/** How far the gateway's clock is ahead of this page's, in milliseconds, as its last answer said. */
export let clockAheadMs = 0;

/**
 * The events of agents up to `position`, in the order of the stream, with a gap where another epoch begins or
 * events are missing: `{items, complete}`, not complete without a journal. `onPart({items, complete})` gets what is
 * known after the first page, to show it at once.
 */
export async function agentsBefore({ epoch, sequence_number: upTo }, onPart) {
  const pages = [];
  let characters = 0;
  for (let before = `${epoch}:${upTo + 1}`; before && pages.length < MOST_PAGES && characters < MOST_CHARACTERS; ) {
    const page = await ask({ types: TYPES, order: "desc", since: SINCE, before });
    if (!page) return { items: await retained(epoch, upTo), complete: false };
    characters += page.characters;
    pages.unshift({ ...page, events: page.events.reverse() });
    if (pages.length === 1 && page.older) onPart({ items: inOrder(pages, epoch), complete: true });
    before = page.older;
  }
  return { items: inOrder(pages, epoch), complete: true };
}

/**
 * One page of a session's events before a position, or the newest one without it: `{items, older, epoch}`, oldest
 * first, with a gap at the end if `next`, the epoch of what follows, is another one. A gateway without a journal
 * answers with what it retains.
 */
export async function sessionBefore(sessionId, before, next, position) {
  const page = await ask({ session_id: sessionId, order: "desc", ...(before ? { before } : {}) });
  if (page) return { items: inOrder([{ ...page, events: page.events.reverse() }], next), older: page.older, epoch: page.epoch };
  const items = await retained(position.epoch, position.sequence_number);
  return { items: items.filter(({ data }) => data.session_id === sessionId), older: null, epoch: position.epoch };
}

/** The events of pages, oldest first, with a gap between epochs (`next` follows) and where events are missing. */
function inOrder(pages, next) {
  const items = [];
  let epoch = null;
  for (const page of [...pages, { epoch: next, events: [] }]) {
    if (epoch !== null && page.epoch !== epoch) items.push({ type: "gap", reason: "epoch_changed", dropped: 0 });
    else if (page.gap) items.push(page.gap);
    epoch = page.epoch;
    for (const event of page.events) items.push(event);
  }
  return items;
}

/** What a gateway without a journal retains up to a number. */
async function retained(epoch, upTo) {
  const items = [];
  for (let after = null; ; ) {
    const page = await ask({ types: TYPES, ...(after === null ? {} : { after, epoch }) });
    if (page?.epoch !== epoch) return [];
    items.push(...page.events.filter((event) => event.sequence_number <= upTo));
    if (page.next >= upTo || page.next === after) return items;
    after = page.next;
  }
}

/** How far a clock that showed `date`, in whole seconds, between `asked` and `answered` is certainly ahead. */
export function aheadOf(date, asked, answered) {
  if (date > answered) return date - answered;
  return date + 1000 < asked ? date + 1000 - asked : 0;
}

/** One page, or null where the gateway keeps no journal to answer from. */
async function ask(parameters) {
  const query = new URLSearchParams({ limit: PAGE, ...parameters });
  const asked = Date.now();
  const answer = await fetch(`api/events?${query}`, { cache: "no-store", headers: keyHeaders() });
  if (answer.status === 400) return null;
  if (!answer.ok) throw new Error(`GET /api/events answered ${answer.status}`);
  clockAheadMs = aheadOf(Date.parse(answer.headers.get("Date")), asked, Date.now());
  const body = await answer.text();
  return { ...parse(body), characters: body.length };
}
