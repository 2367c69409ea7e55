/** Banners above the feed for the gateway's notices, e.g. that NATS is unreachable. */

import { element } from "./dom.js";
import { text } from "./fields.js";
import { unisolated } from "./visible.js";

const MOST_SHOWN = 3;

/** The subject of a notice: `backend` for both `backend_away` and `backend_back`. */
const subjectOf = (code) => code.replace(/_(away|back|failing|blind)$/, "");

export class Notices {
  constructor(place, announcer) {
    Object.assign(this, { place, announcer });
    this._shown = new Map(); // the banner of each subject, the newest last
  }

  /** Show a notice, which replaces an earlier one with the same subject. */
  show({ code, message }) {
    const said = unisolated(text(message)) || text(code);
    const subject = subjectOf(text(code));
    const dismiss = element("button", { type: "button", onclick: () => this._drop(subject) }, "Dismiss");
    const kind = /_back$/.test(text(code)) ? "good" : "warn";
    const banner = element("p", { class: `notice ${kind}`, "data-testid": "notice" }, element("span", {}, said), dismiss);
    this._drop(subject);
    this._shown.set(subject, banner);
    if (this._shown.size > MOST_SHOWN) this._drop(this._shown.keys().next().value);
    this.place.append(banner);
    this.announcer.textContent = said;
  }

  clear() {
    for (const subject of [...this._shown.keys()]) this._drop(subject);
  }

  _drop(subject) {
    this._shown.get(subject)?.remove();
    this._shown.delete(subject);
  }
}
