/** Asks the gateway for pages of its history. */

import { parse } from "../json.js";
import { keyHeaders } from "../login-key.js";
import { place } from "./positions.js";

/** A refusal or no answer; `status` is 0 where nothing came. */
export class NoPageError extends Error {
  constructor(status) {
    super(`GET /api/events answered ${status || "nothing"}`);
    this.status = status;
  }
}

/** One page, as the gateway sends it. Throws `NoPageError`. */
export async function ask(parameters, signal) {
  return parse(await get(`api/events?${new URLSearchParams(parameters)}`, signal));
}

/** What the gateway keeps: `{since, types}`, the time of the oldest event and all types; null without a journal. */
export async function kept() {
  const [session, catalog] = await Promise.all([get("api/session"), get("api/catalog")]);
  const { journal, history } = parse(session);
  if (!journal) return null;
  return { since: Date.parse(history?.since) || null, types: parse(catalog).types.map(({ type }) => type) };
}

async function get(address, signal) {
  const options = { cache: "no-store", headers: keyHeaders(), signal };
  const answer = await fetch(address, options).catch((error) => {
    throw error.name === "AbortError" ? error : new NoPageError(0);
  });
  if (!answer.ok) throw new NoPageError(answer.status);
  return answer.text();
}

/** The items of a page, oldest first: its events, and its gap where it was. Remembers their epoch. */
export function itemsOf({ epoch, events, gap }, order) {
  const lost = gap ? [{ ...gap, type: "gap" }] : [];
  const items = order === "desc" ? [...events.toReversed(), ...lost] : [...lost, ...events];
  for (const item of items) place(item, epoch);
  return items;
}
