/** Elements made without HTML, so that event data always becomes text. */

import { split } from "./filters.js";

/** An element with attributes (`class`, `data-…`, listeners as `onclick`) and children or texts. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for SVG. */
export function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** `text` as nodes, with the search hits marked. */
export function marked(text, search) {
  return split(text, search).map((part, i) => (i % 2 ? element("mark", {}, part) : part));
}

/** Set the text of a node if it differs, because setting it costs a layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A `Date` or timestamp in local time: `14:02:11.123`. */
export function clock(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "--:--:--.---";
  const two = (number) => String(number).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}
