/** Loads the events from shortly before the page opened, which the gateway retains for half a minute. */

import { parse } from "./json.js";
import { keyHeaders } from "./login-key.js";

const PAGE = 1000;

/**
 * The retained events up to `position`, oldest first; none if they belong to another epoch.
 * Throws if the gateway does not answer; the console then starts with live events.
 */
export async function retained({ epoch, sequence_number: upTo }) {
  const events = [];
  for (let after = null; ; ) {
    const query = new URLSearchParams({ limit: PAGE, ...(after !== null && { after, epoch }) });
    const answer = await fetch(`api/events?${query}`, { cache: "no-store", headers: keyHeaders() });
    if (!answer.ok) throw new Error(`GET /api/events answered ${answer.status}`);
    const page = parse(await answer.text());
    if (page.epoch !== epoch) return [];
    events.push(...page.events.filter((event) => event.sequence_number <= upTo));
    if (page.next >= upTo || page.next === after) return events;
    after = page.next;
  }
}
