/** What to ask the journal for, so that its pages hold every event that fits the console's filter. */

import { isFailureType, MAY_FAIL, SOMEONE } from "../sentences.js";
import { termsOf } from "../filters.js";

const MOST_PATTERNS = 256;
const SHORTEST_PREFIX = 2; // characters: a shorter one would match nearly everything
const MOST_WORDS = 30;
const LONGEST_WORD = 200;
const WORD = /[\p{L}\p{N}]/u;

/**
 * The parameters of `GET /api/events` for a filter; null if no event can fit it. `types` are all that
 * the gateway knows. A page may hold more than fits (see `isExact`), and never less.
 */
export function questionOf(filter, types) {
  const patterns = patternsOf(filter, types);
  if (patterns?.length === 0) return null;
  const q = [...wordsOf(filter.text), ...nameOf(filter.who)].join(" ");
  return { ...(patterns && { types: patterns.join(",") }), ...(q && { q }) };
}

/** Whether the journal finds by all terms of a search, so that its pages need not be searched again. */
export function findsAll({ text }) {
  return wordsOf(text).length === termsOf(text).length;
}

/** Whether the journal's count of hits is the number of events that fit. */
export function isExact(filter) {
  return !filter.who && !filter.failed && findsAll(filter);
}

function patternsOf({ namespaces, type, failed }, types) {
  if (!failed && !type) return namespaces.length ? namespaces.map((name) => `${name}.*`) : null;
  const known = type ? [type] : types.filter((one) => isFailureType(one) || MAY_FAIL.has(one));
  const fitting = known.filter(
    (one) =>
      (namespaces.length === 0 || namespaces.includes(one.slice(0, one.indexOf(".")))) &&
      (!failed || isFailureType(one) || MAY_FAIL.has(one)),
  );
  return fitting.length > MOST_PATTERNS ? null : fitting;
}

/** The search's words, each as the beginning of a word, and its phrases; those that the index can find. */
function wordsOf(text) {
  return termsOf(text)
    .filter(({ term }) => WORD.test(term) && term.length <= LONGEST_WORD)
    .slice(0, MOST_WORDS)
    .map(({ term, quoted }) => {
      if (quoted) return `"${term}"`;
      return term.length < SHORTEST_PREFIX || term.includes('"') ? term : `${term.replace(/\*+$/, "")}*`;
    });
}

/** A name as a phrase: wherever it came from, the event holds its words. A name that was cut loses its last word. */
function nameOf(who) {
  const whole = who.replace(/\S*…$/, "").replaceAll('"', " ").trim();
  if (who === SOMEONE) return [];
  return WORD.test(whole) && !/\\u/.test(whole) ? [`"${whole}"`] : [];
}
