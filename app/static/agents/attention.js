/** Calls a person: the page's title and icon, a screen reader's announcement, a notification of the browser. */

import { text } from "../fields.js";
import { asks, callWords } from "./words.js";

const ICONS = { calm: "static/icon.svg", waiting: "static/agents/icon-waiting.svg" };

/** The page's title: how many wait in front of what the connection says. */
const title = { base: "Sightline", waiting: 0 };

export function setTitle(base) {
  title.base = base;
  showTitle();
}

function showTitle() {
  const wanted = title.waiting ? `(${title.waiting}) ${title.base}` : title.base;
  if (document.title !== wanted) document.title = wanted;
}

export class Attention {
  /** `open(id)` shows a session. */
  constructor({ icon, button, announcer }, open) {
    Object.assign(this, { icon, button, announcer, open });
    this._known = null; // sessions that wait, as `id since`; null until the first look
    button.addEventListener("click", async () => {
      await Notification.requestPermission();
      this._offer();
    });
    this._offer();
  }

  /** Look at all cards; announce the sessions that have begun to wait, but none of the first look. */
  show(cards) {
    const waiting = cards.filter(({ state }) => state === "waiting");
    const key = ({ session_id: id, attention }) => `${id} ${attention.since}`;
    const fresh = this._known ? waiting.filter((card) => !this._known.has(key(card))) : [];
    this._known = new Set(waiting.map(key));
    title.waiting = waiting.length;
    showTitle();
    const href = waiting.length ? ICONS.waiting : ICONS.calm;
    if (this.icon.getAttribute("href") !== href) this.icon.setAttribute("href", href);
    for (const card of fresh) this._announce(card);
  }

  _announce(card) {
    const name = [text(card.name, 60), text(card.tag || card.project, 60)].filter(Boolean).join(" ");
    const body = [asks(card.attention, card.agents), ...callWords(card.attention, card.folder)].filter(Boolean).join(" ");
    this.announcer.textContent = `${name} ${body}`;
    if (!document.hidden || globalThis.Notification?.permission !== "granted") return;
    const notification = new Notification(`${name} is waiting for you`, { body, tag: card.session_id });
    notification.addEventListener("click", () => {
      window.focus();
      this.open(card.session_id);
      notification.close();
    });
  }

  _offer() {
    this.button.hidden = globalThis.Notification?.permission !== "default";
  }
}
