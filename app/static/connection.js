/** The connection's state in words. */

import { setTitle } from "./agents/attention.js";
import { setText } from "./dom.js";
import { logOut } from "./login-key.js";

const WHY = {
  "not logged in": "not logged in: run sightline login in the gateway's folder and open its link",
  down: "the gateway does not answer",
  full: "all places are taken",
  restarting: "the gateway is restarting",
};

/** A stream's state as a sentence; `leftS` are the seconds until the next try. */
export function describe({ name, reason, message }, leftS = 0) {
  const why = WHY[reason] ?? message ?? reason;
  switch (name) {
    case "live":
      return "Live";
    case "behind":
      return "Behind: events come faster than this page reads";
    case "reconnecting":
      return `Reconnecting ${leftS >= 1 ? `in ${Math.ceil(leftS)} s` : "now"}${why ? `: ${why}` : ""}`;
    case "refused":
      return `Refused${why ? `: ${why}` : ""}`;
    case "closed":
      return "Closed";
    default:
      return "Connecting";
  }
}

/** Shows the state, counts down to the next try, and announces each change to screen readers once. */
export class Connection {
  constructor({ pill, text, button, announcer, logOutButton }, reconnect) {
    Object.assign(this, { pill, text, button, announcer });
    this._retryAt = 0;
    this._state = { name: "connecting" };
    button.addEventListener("click", reconnect);
    logOutButton?.addEventListener("click", () => {
      logOut().then(
        (done) => done || setText(logOutButton, "Log out at the proxy"),
        () => setText(announcer, "Not logged out: the gateway does not answer"),
      );
    });
  }

  show(state) {
    this._state = state;
    this._retryAt = performance.now() + (state.retryInS ?? 0) * 1000;
    this.pill.dataset.state = state.name;
    this.button.hidden = !["reconnecting", "refused", "closed"].includes(state.name);
    setText(this.announcer, describe(state));
    setTitle(state.name === "live" ? "Sightline" : `${describe(state).split(":")[0]} – Sightline`);
    this.tick();
  }

  /** Call once a second. */
  tick() {
    setText(this.text, describe(this._state, (this._retryAt - performance.now()) / 1000));
  }
}
