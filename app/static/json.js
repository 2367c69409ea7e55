/**
 * JSON without loss: numbers that JavaScript would round keep their source text, and nesting has no
 * limit of its own.
 */

/** A number that JavaScript cannot hold: 9007199254740993, 1e400. It reads and is written as it came. */
export class ExactNumber {
  constructor(source) {
    this.source = source;
  }

  toString() {
    return this.source;
  }

  valueOf() {
    return Number(this.source);
  }

  toJSON() {
    met = true;
    return Number(this.source);
  }
}

let met = false; // whether `JSON.stringify` came across an `ExactNumber`, which it would round

const MAY_BE_INEXACT = /[\d.]{16}|\d[eE]|-0/;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{}]|-?\d[\d.eE+-]*|true|false|null/g;

/** The value of a JSON text. Throws a `SyntaxError` as `JSON.parse` does. */
export function parse(text) {
  const value = JSON.parse(text);
  return MAY_BE_INEXACT.test(text) ? read(text) : value;
}

/** The value of a text that `JSON.parse` accepted. */
function read(text) {
  const open = []; // containers that are not closed yet: {container, key}
  let result;
  const put = (value) => {
    const into = open.at(-1);
    if (!into) result = value;
    else if (Array.isArray(into.container)) into.container.push(value);
    else {
      set(into.container, into.key, value);
      into.key = undefined;
    }
  };
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === "{" || token === "[") {
      const container = token === "{" ? {} : [];
      put(container);
      open.push({ container, key: undefined });
    } else if (token === "}" || token === "]") {
      open.pop();
    } else if (token[0] === '"') {
      const into = open.at(-1);
      if (into && !Array.isArray(into.container) && into.key === undefined) into.key = JSON.parse(token);
      else put(JSON.parse(token));
    } else if (token === "true" || token === "false" || token === "null") {
      put(JSON.parse(token));
    } else {
      put(number(token));
    }
  }
  return result;
}

/** As `JSON.parse` does: "__proto__" is a key like any other. */
function set(object, key, value) {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    object[key] = value;
  }
}

function number(source) {
  const value = Number(source);
  const isExact = Number.isFinite(value) && !Object.is(value, -0) && digits(source) === digits(String(value));
  return isExact ? value : new ExactNumber(source);
}

/** Sign, significant digits and exponent in one form for all ways to write a number: `-12e3`. */
function digits(source) {
  const [, sign, whole, part = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source);
  const all = (whole + part).replace(/^0+/, "");
  const significant = all.replace(/0+$/, "");
  return significant && `${sign}${significant}e${Number(exponent) - part.length + all.length - significant.length}`;
}

/** The JSON text of a value; `indent` spaces a level, as far as 20 levels: deeper ones stand there too. */
export function stringify(value, indent = 0) {
  if (indent === 0) {
    try {
      met = false;
      const text = JSON.stringify(value);
      if (!met && text !== undefined) return text;
    } catch {
      // nested too deeply for the engine
    }
  }
  return write(value, indent);
}

const DEEPEST_INDENT = 20;

function write(value, indent) {
  const parts = [];
  const todo = [{ value, depth: 0 }]; // a stack of values and of ready texts
  const line = (depth) => (indent ? `\n${" ".repeat(indent * Math.min(depth, DEEPEST_INDENT))}` : "");
  while (todo.length) {
    const { text, value: next, depth } = todo.pop();
    if (text !== undefined) {
      parts.push(text);
    } else if (next instanceof ExactNumber) {
      parts.push(next.source);
    } else if (typeof next !== "object" || next === null) {
      parts.push(JSON.stringify(next) ?? "null");
    } else {
      const isArray = Array.isArray(next);
      const keys = isArray ? next.keys() : Object.keys(next);
      const members = Array.from(keys, (key) => ({
        before: isArray ? "" : `${JSON.stringify(key)}:${indent ? " " : ""}`,
        value: next[key],
      }));
      const [opening, closing] = isArray ? "[]" : "{}";
      parts.push(opening);
      todo.push({ text: members.length ? line(depth) + closing : closing });
      members.reverse().forEach((member, i) => {
        todo.push({ value: member.value ?? null, depth: depth + 1 });
        todo.push({ text: `${i === members.length - 1 ? "" : ","}${line(depth + 1)}${member.before}` });
      });
    }
  }
  return parts.join("");
}
