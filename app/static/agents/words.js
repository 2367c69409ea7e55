/** What cards and timelines say about sessions, in words. Pure. */

import { text } from "../fields.js";
import { count } from "../sentences.js";
import { shortened } from "./names.js";
import { ORDER } from "./standing.js";

const ASKS = { permission: "asks for permission", plan: "asks you to approve its plan", question: "asks you a question" };
const STATES = { waiting: "waiting for you", silent: "silent", working: "working", idle: "idle", failed: "failed", finished: "finished" };
const QUIET_S = 60; // a working session without an event for so long says so

/** A span of time: `12 s`, `4 min`, `2 h 5 min`, `3 d`. */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d`;
}

/** A running clock: `0:42`, `12:03`, `1:02:03`. */
export function ticking(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return `${hours ? `${hours}:${two(Math.floor((whole % 3600) / 60))}` : Math.floor(whole / 60)}:${two(whole % 60)}`;
}

/** A number of tokens: `940`, `45.2k`, `164k`, `1.3M`. */
export function tokens(number) {
  if (number < 1000) return `${number}`;
  if (number < 999_500) return `${(number / 1000).toFixed(number < 99_950 ? 1 : 0)}k`;
  return `${(number / 1e6).toFixed(1)}M`;
}

/** A session's state and since when: `working for 12 min`, `failed 7 min ago`. */
export function stateOf(card, now) {
  const { state, ended, last } = card;
  if (state === "waiting") return STATES.waiting;
  if (state === "silent") return `silent for ${span(now - last)}`;
  if (state === "working") return now - last > QUIET_S ? `working, quiet for ${span(now - last)}` : `working for ${span(now - card.turn_started)}`;
  if (state === "idle") return `idle for ${span(now - last)}`;
  return `${STATES[state] ?? state} ${span(now - (ended ?? last))} ago`;
}

/** The same for a card, below a heading that names the state: `waiting for 2 min`, `5 min ago`. */
export function shortStateOf(card, now) {
  if (card.ended !== null && card.state !== "failed") return `${span(now - card.ended)} ago`;
  return card.state === "waiting" ? `waiting for ${span(now - card.attention.since)}` : stateOf(card, now);
}

/** What a person is asked, without the tool: `asks for permission`. */
export function asks({ reason, agent_id: agentId }, agents) {
  const who = agentId ? `${text(agents.find(({ agent_id: id }) => id === agentId)?.agent_type, 60) || "a sub-agent"} ` : "";
  return who + (Object.hasOwn(ASKS, reason) ? ASKS[reason] : `needs you: ${text(reason, 60)}`);
}

/** A call as `[tool, argument]`, short enough for a line. */
export function callWords({ tool_name: toolName, summary }, folder) {
  return [text(toolName, 60), shortened(text(summary), folder)];
}

/** An amount of money: `$0.21`, `$0.0012`. */
export function dollars(amount) {
  return `$${amount.toFixed(amount < 0.01 ? 4 : 2)}`;
}

/** What the sessions cost together, as far as it was reported: `$1.04 reported by 3 of 5`, or "". */
export function costOf(cards) {
  const costs = cards.map(({ usage }) => usage?.cost_usd ?? 0).filter(Boolean);
  const sum = costs.reduce((all, cost) => all + cost, 0);
  return sum ? `${dollars(sum)} reported by ${costs.length} of ${cards.length}` : "";
}

/** The figures of a card: `[words, kind]`, kind "bad" for what failed, "cost" for the cost. Only what was reported. */
export function figures(card) {
  const { calls, notable, facts, usage, background, gaps } = card;
  const found = [];
  if (calls) found.push([count(calls, "call"), ""]);
  for (const [state, number] of notable) found.push([`${number.toLocaleString("en")} ${state}`, state === "failed" ? "bad" : "warn"]);
  if (gaps) found.push(["events lost", "warn"]);
  if (facts?.files.size) found.push([count(facts.files.size, "file"), ""]);
  if (facts?.commits.size) found.push([count(facts.commits.size, "commit"), ""]);
  if (usage) {
    const all = usage.input_tokens + usage.cache_read_tokens + usage.cache_creation_tokens + usage.output_tokens;
    if (all) found.push([`${tokens(all)} tokens`, ""]);
    if (usage.cost_usd) found.push([dollars(usage.cost_usd), "cost"]);
  }
  if (background.length) found.push([`${background.length} in the background`, ""]);
  return found;
}

/** The heading that a card is below: its state, or `finished` for a session that is over, however it went. */
export const groupOf = ({ ended, state }) => (ended === null ? state : "finished");

/** How many sessions are below each heading: `[words, group]`, such as `1 waiting for you`, `9 finished, 2 failed`. */
export function tally(cards) {
  const found = [];
  for (const group of ORDER) {
    const members = cards.filter((card) => groupOf(card) === group);
    if (members.length) found.push([`${members.length} ${STATES[group]}${failedOf(members, group)}`, group]);
  }
  return found;
}

/** How many of the finished sessions failed: `, 2 failed`, or "". */
export function failedOf(members, group) {
  const failed = group === "finished" ? members.filter(({ state }) => state === "failed").length : 0;
  return failed ? `, ${failed} failed` : "";
}
