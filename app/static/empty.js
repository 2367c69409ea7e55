/** Replaces an empty feed: how to get the first event, or why no event is shown. */

import { element } from "./dom.js";

const EXAMPLE = '{"type":"chat.message_sent","data":{"role":"user","content":"Hello, Sightline"}}';

/** A command that publishes one event to the gateway at `base`, run in the gateway's folder. */
export function firstEvent(base) {
  return [
    `curl -sS ${base}api/events \\`,
    '  -H "X-Session-Token: $(cat .sightline/session.token)" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${EXAMPLE}'`,
  ].join("\n");
}

/**
 * Fill `place` with the reason why nothing is shown: "filtered", "searching" (in what is kept), "first" (nothing
 * has happened), or "quiet" (nothing for `quietS` seconds, and the gateway keeps no more).
 */
export function drawEmpty(place, kind, { onClear, quietS }) {
  if (place.dataset.kind === kind) return;
  place.dataset.kind = kind;
  const quiet = [`Nothing in the last ${quietS} s`, "This gateway keeps no journal of what was before."];
  const parts = {
    filtered: () => filtered("No event fits the filters", onClear),
    searching: () => filtered("Looking through all that is kept", onClear),
    first: () => first("Nothing has happened yet"),
    quiet: () => first(...quiet),
  };
  place.replaceChildren(...parts[kind]());
}

function filtered(title, onClear) {
  return [
    element("h2", {}, title),
    element("button", { type: "button", onclick: onClear }, "Clear filters"),
  ];
}

function first(title, more = "") {
  const command = firstEvent(new URL(".", location.href).href);
  const copy = element("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command).then(
      () => (copy.textContent = "Copied"),
      () => (copy.textContent = "The browser refused"),
    );
  });
  return [
    element("h2", {}, title),
    element("p", {}, "Connect a coding agent: ", element("code", {}, "sightline hooks install claude-code --project"), " in its folder."),
    element("p", {}, `${more} Change a file in the watched folder, commit, or publish an event from the gateway’s folder:`.trim()),
    element("pre", { "data-testid": "first-event" }, element("code", {}, command)),
    copy,
  ];
}
