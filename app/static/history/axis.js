/**
 * The time axis over all that is kept. Its scale is logarithmic in age: the last minutes have as much
 * room as the days before them, so that one jump reaches either. Pure, but for `Axis`.
 */

import { element, setText } from "../dom.js";
import { moment } from "../times.js";

const STEPS = 1000; // of the slider
const SOFT_MS = 60_000; // ages below this are nearly linear
const LEAST_MS = 10 * 60_000; // of history, for an axis to be of use
const TICKS = [
  [60_000, "1 min"], [5 * 60_000, "5 min"], [15 * 60_000, "15 min"], [3_600_000, "1 h"], [4 * 3_600_000, "4 h"],
  [12 * 3_600_000, "12 h"], [86_400_000, "1 day"], [3 * 86_400_000, "3 days"], [7 * 86_400_000, "1 week"],
  [14 * 86_400_000, "2 weeks"], [30 * 86_400_000, "30 days"], [90 * 86_400_000, "90 days"], [365 * 86_400_000, "1 year"],
];
const LEAST_APART_PX = 56; // between two ticks
const SETTLE_MS = 250; // after the last key

/** The place of a time on an axis from `since` (0) to `now` (1). */
export function placeOf(time, since, now) {
  const age = Math.max(0, now - time);
  const whole = Math.max(1, now - since);
  return 1 - Math.min(1, Math.log1p(age / SOFT_MS) / Math.log1p(whole / SOFT_MS));
}

/** The time at a place; the inverse of `placeOf`. */
export function timeAt(place, since, now) {
  const whole = Math.max(1, now - since);
  return now - SOFT_MS * Math.expm1((1 - place) * Math.log1p(whole / SOFT_MS));
}

/** The ticks of an axis, `{place, label}`, from old to new, at least `apart` (of the axis) from each other. */
export function ticksOf(since, now, apart) {
  const ticks = [];
  let last = 1;
  for (const [age, label] of TICKS) {
    const place = placeOf(now - age, since, now);
    if (now - age <= since || last - place < apart || place < apart / 2) continue;
    ticks.unshift({ place, label });
    last = place;
  }
  return ticks;
}

/** The slider under the filters; it shows what time is in sight, and jumps to where it is moved. */
export class Axis {
  /** `sight` returns the time in sight, in milliseconds; null while the newest events are. */
  constructor({ place, slider, ticks, label }, { jump, follow, sight }) {
    Object.assign(this, { place, slider, ticks, label, _jump: jump, _follow: follow, _sight: sight });
    this._since = null;
    this._timer = 0;
    this._moving = false;
    this._rests = null; // {sight}: the slider stays where it was moved, until the user scrolls on
    this._drawn = "";
    slider.addEventListener("input", () => this._move());
    slider.addEventListener("change", () => this._go());
  }

  /** Show the time in sight, on an axis from `since` to `now`. */
  draw(since, now) {
    this._since = since;
    this.place.hidden = !since || now - since < LEAST_MS;
    if (this.place.hidden) return;
    this._drawTicks(now);
    const time = this._sight();
    if (this._moving || this._rests?.sight === time) return;
    this._rests = null;
    this.slider.value = time === null ? STEPS : Math.round(placeOf(time, since, now) * STEPS);
    this._say(time, now);
  }

  _drawTicks(now) {
    const ticks = ticksOf(this._since, now, LEAST_APART_PX / Math.max(1, this.slider.clientWidth));
    const drawn = ticks.map(({ place, label }) => `${label} ${place.toFixed(3)}`).join();
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    this.ticks.replaceChildren(
      ...ticks.map(({ place, label }) => {
        const tick = element("span", {}, label);
        tick.style.left = `${place * 100}%`;
        return tick;
      }),
    );
  }

  _move() {
    this._moving = true;
    this._say(this._chosen(), Date.now());
  }

  /** Jump once the slider rests: a held key moves it many times a second. */
  _go() {
    clearTimeout(this._timer);
    const time = this._chosen();
    const own = (this._timer = setTimeout(async () => {
      if (time === null) this._follow();
      else await this._jump(time);
      if (own !== this._timer) return; // moved on meanwhile
      this._moving = false;
      this._rests = { sight: this._sight() };
    }, SETTLE_MS));
  }

  _chosen() {
    const value = Number(this.slider.value);
    return value === STEPS ? null : timeAt(value / STEPS, this._since, Date.now());
  }

  _say(time, now) {
    const said = time === null ? "Now" : moment(time, now);
    setText(this.label, said);
    this.label.dataset.then = time !== null;
    this.slider.setAttribute("aria-valuetext", said);
  }
}
