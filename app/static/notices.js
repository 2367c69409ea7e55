/** What the gateway says of itself, such as that NATS is away: banners above the feed. */

import { element } from "./dom.js";
import { text } from "./fields.js";
import { unisolated } from "./visible.js";

const MOST_SHOWN = 3;

/** `backend_back` ends `backend_away`: they are about the same. */
const subjectOf = (code) => code.replace(/_(away|back|failing|blind)$/, "");

export class Notices {
  constructor(place, announcer) {
    Object.assign(this, { place, announcer });
    this._shown = new Map(); // the banner of each subject, the newest last
  }

  /** Show a notice in place of an earlier one about the same; good news may be dismissed like any other. */
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
