/** What the panel says about the feed: at its two ends, in the foot of the page, and where it is empty. Pure. */

import { isEmpty } from "./filters.js";
import { count } from "./sentences.js";

/** The note at the oldest end of the feed; empty for none. */
export function oldestNote({ live, past, keepsAll, loading }) {
  if (keepsAll) {
    if (loading) return "Loading older events";
    if (past?.older === null) return "The oldest event that is kept";
    return live.foldedAway || past ? "Older events load as you scroll" : "";
  }
  if (!live.foldedAway) return "";
  return `${count(live.foldedAway, "older event")} folded away: this page keeps the newest ${live.mostEntries.toLocaleString("en")}`;
}

/** The note at the newest end: that newer events load, or that nothing has happened for `quietS` seconds. */
export function newestNote({ live, past, paused, quietS }, now) {
  if (past && !past.attached) return "Newer events load as you scroll";
  const newest = paused ? undefined : live.at(-1);
  return newest && now - newest.time > quietS * 1000 ? `Nothing in the last ${quietS} s` : "";
}

/** How much is shown, of how much. */
export function tallyOf({ live, past, view, keepsAll }) {
  const shown = view.shown.toLocaleString("en");
  if (past) return past.attached ? `${shown} events shown` : `${shown} events of the past shown`;
  const of = `${shown} of ${count(live.length - (live.left ? 1 : 0), "event")} shown`;
  return live.foldedAway && !keepsAll ? `${of}, ${live.foldedAway.toLocaleString("en")} older folded away` : of;
}

/**
 * The numbers on the chips: the events of the page, by namespace, and the failures among them. Without a filter they
 * are those of the list. A window over the history holds only what fits its filter: of other namespaces nothing is
 * known, so they have no number unless the live feed has one.
 */
export function chipNumbers({ live, past, view }) {
  if (!past) return { counts: live.counts, failures: live.failures, isWhole: true };
  if (!past.attached) return { counts: past.feed.counts, failures: past.feed.failures, isWhole: isEmpty(view.filter) };
  const counts = new Map(live.counts);
  for (const [namespace, number] of past.feed.counts) counts.set(namespace, Math.max(number, counts.get(namespace) ?? 0));
  return { counts, failures: Math.max(live.failures, past.feed.failures), isWhole: true };
}

/** Why nothing is shown: see `drawEmpty`. */
export function whyEmpty({ live, view, keepsAll, loading }) {
  if (live.length || !isEmpty(view.filter)) return loading ? "searching" : "filtered";
  return keepsAll ? "first" : "quiet";
}
