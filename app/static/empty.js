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

/** Fill `place` for a feed with `kept` events, none of which is shown. */
export function drawEmpty(place, kept, onClear) {
  const kind = kept ? "filtered" : "first";
  if (place.dataset.kind === kind) return;
  place.dataset.kind = kind;
  place.replaceChildren(...(kept ? filtered(onClear) : first()));
}

function filtered(onClear) {
  return [
    element("h2", {}, "No event fits the filters"),
    element("button", { type: "button", onclick: onClear }, "Clear filters"),
  ];
}

function first() {
  const command = firstEvent(new URL(".", location.href).href);
  const copy = element("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command).then(
      () => (copy.textContent = "Copied"),
      () => (copy.textContent = "The browser refused"),
    );
  });
  return [
    element("h2", {}, "Nothing has happened yet"),
    element("p", {}, "Change a file in the watched folder, commit, or run this in the gateway’s folder:"),
    element("pre", { "data-testid": "first-event" }, element("code", {}, command)),
    copy,
  ];
}
