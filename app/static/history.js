/** Loads what happened before the page was opened: the newest events that the gateway keeps. */

import { parse } from "./json.js";
import { keyHeaders } from "./login-key.js";

const PAGE = 1000;
const MOST_PAGES = 5; // of what a page shows when it is opened

/**
 * The newest events up to `position`, oldest first: a page of the journal, or all that a gateway
 * without one retains. None if they belong to another epoch.
 * Throws if the gateway does not answer; the console then starts with live events.
 */
export async function retained({ epoch, sequence_number: upTo }) {
  const newest = await newestFirst(epoch, `${epoch}:${upTo + 1}`);
  if (newest) return newest.reverse();
  const events = [];
  for (let after = null; ; ) {
    const page = await ask(after === null ? {} : { after, epoch });
    if (page?.epoch !== epoch) return [];
    events.push(...page.events.filter((event) => event.sequence_number <= upTo));
    if (page.next >= upTo || page.next === after) return events;
    after = page.next;
  }
}

/** The newest events of an epoch before a position, or null where the gateway keeps no journal. */
async function newestFirst(epoch, before) {
  const events = [];
  for (let pages = 0; pages < MOST_PAGES && before?.startsWith(`${epoch}:`); pages++) {
    const page = await ask({ order: "desc", before });
    if (!page) return null;
    if (page.epoch !== epoch) break;
    events.push(...page.events);
    before = page.older;
  }
  return events;
}

/** One page, or null where the gateway keeps no journal to answer from. */
async function ask(parameters) {
  const query = new URLSearchParams({ limit: PAGE, ...parameters });
  const answer = await fetch(`api/events?${query}`, { cache: "no-store", headers: keyHeaders() });
  if (answer.status === 400) return null;
  if (!answer.ok) throw new Error(`GET /api/events answered ${answer.status}`);
  return parse(await answer.text());
}
