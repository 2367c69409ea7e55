/** The filter bar, which keeps its controls, the page's address and the filter in step. */

import { element, setText } from "./dom.js";
import { formatFilter, isEmpty, NO_FILTER, parseFilter } from "./filters.js";

const MOST_CHOICES = 300; // names come from events, so their number is bounded here
const ORDER_KEY = "sightline.newest-first";
const TIMES_KEY = "sightline.relative-times";

export class Controls {
  constructor(elements, { onFilter, onOrder, onTimes }) {
    Object.assign(this, elements, { onFilter });
    this.filter = parseFilter(location.hash);
    this.newestFirst = stored(ORDER_KEY) !== "false";
    this.relative = stored(TIMES_KEY) !== "false";
    this._namespaces = new Map(); // the chip of each
    this._choices = { who: new Set(), type: new Set() };
    this.text.addEventListener("input", () => this._set({ text: this.text.value }));
    this.who.addEventListener("change", () => this._set({ who: this.who.value }));
    this.type.addEventListener("change", () => this._set({ type: this.type.value }));
    this.failedButton.addEventListener("click", () => this._set({ failed: !this.filter.failed }));
    this.times.addEventListener("click", () => {
      this.relative = !this.relative;
      store(TIMES_KEY, this.relative);
      this._showTimes();
      onTimes(this.relative);
    });
    this.clearButton.addEventListener("click", () => this.clear());
    this.order.addEventListener("click", () => {
      this.newestFirst = !this.newestFirst;
      store(ORDER_KEY, this.newestFirst);
      this._showOrder();
      onOrder(this.newestFirst);
    });
    addEventListener("hashchange", () => {
      if (!location.hash.startsWith("#session=")) this._set(parseFilter(location.hash));
    });
    this._show();
    this._showOrder();
    this._showTimes();
  }

  clear() {
    this._set(NO_FILTER);
  }

  /** Add an event's type and author to the choices. */
  learn({ namespace, who, event }) {
    if (!this._namespaces.has(namespace)) this._chip(namespace);
    this._choose("who", who);
    this._choose("type", event.type);
  }

  /** Show numbers on the chips: see `chipNumbers`. */
  count({ counts, failures, isWhole }) {
    this.failedButton.classList.toggle("any", failures > 0);
    setText(this.failedButton.lastElementChild, failures.toLocaleString("en"));
    for (const [namespace, chip] of this._namespaces) {
      const number = counts.get(namespace) ?? (isWhole ? 0 : undefined);
      setText(chip.lastElementChild, number === undefined ? "" : number.toLocaleString("en"));
    }
  }

  _set(change) {
    this.filter = { ...this.filter, ...change };
    const fragment = formatFilter(this.filter);
    history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
    this._show();
    this.onFilter(this.filter);
  }

  _show() {
    const { namespaces, type, who, text, failed } = this.filter;
    this.failedButton.setAttribute("aria-pressed", failed);
    if (this.text.value !== text) this.text.value = text;
    for (const namespace of namespaces) if (!this._namespaces.has(namespace)) this._chip(namespace);
    for (const [namespace, chip] of this._namespaces) {
      chip.setAttribute("aria-pressed", namespaces.includes(namespace));
    }
    if (who) this._choose("who", who);
    if (type) this._choose("type", type);
    this.who.value = who;
    this.type.value = type;
    this.who.classList.toggle("set", who !== "");
    this.type.classList.toggle("set", type !== "");
    this.clearButton.hidden = isEmpty(this.filter);
  }

  _showOrder() {
    setText(this.order, this.newestFirst ? "Newest first" : "Newest last");
  }

  _showTimes() {
    setText(this.times, this.relative ? "Relative times" : "Clock times");
  }

  _chip(namespace) {
    if (this._namespaces.size >= MOST_CHOICES) return;
    const chip = element(
      "button",
      {
        type: "button",
        class: "chip",
        "data-ns": namespace,
        "data-testid": `namespace-${namespace}`,
        "aria-pressed": "false",
        onclick: () => this._toggle(namespace),
      },
      namespace,
      element("span", { class: "number" }),
    );
    this._namespaces.set(namespace, chip);
    const after = [...this._namespaces].filter(([other]) => other > namespace).sort()[0];
    this.namespaces.insertBefore(chip, after?.[1] ?? null);
  }

  _toggle(namespace) {
    const wanted = new Set(this.filter.namespaces);
    if (!wanted.delete(namespace)) wanted.add(namespace);
    this._set({ namespaces: [...wanted].sort() });
  }

  _choose(field, value) {
    const choices = this._choices[field];
    if (choices.has(value) || choices.size >= MOST_CHOICES) return;
    choices.add(value);
    const after = [...this[field].options].slice(1).find((option) => option.value > value);
    this[field].add(element("option", { value }, value), after ?? null);
  }
}

function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage is switched off
  }
}

function store(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // the choice then lasts as long as the page
  }
}
