/** Times as people say them, in the browser's time zone. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (number) => String(number).padStart(2, "0");

/** A duration in one unit: `40 s`, `12 min`, `3 h`, `9 days`. */
export function span(ms) {
  if (ms < MINUTE_MS) return `${Math.max(0, Math.floor(ms / 1000))} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) return `${Math.floor(ms / HOUR_MS)} h`;
  return `${Math.floor(ms / DAY_MS)} days`;
}

/** How long ago a time was: `now`, `40 s ago`; after a day the day and time. */
export function ago(time, now) {
  const age = now - time;
  if (!Number.isFinite(age)) return "";
  if (age < 2000) return "now";
  return age < DAY_MS ? `${span(age)} ago` : moment(time, now);
}

/** A time: `18:02` if it is today, otherwise with its day: `22 Nov 18:02`, `22 Nov 2025 18:02`. */
export function moment(time, now) {
  const [date, today] = [new Date(time), new Date(now)];
  if (Number.isNaN(date.getTime())) return "";
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (date.toDateString() === today.toDateString()) return clock;
  const year = date.getFullYear() === today.getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${MONTHS[date.getMonth()]}${year} ${clock}`;
}
