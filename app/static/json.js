/**
 * Lossless JSON: numbers that JavaScript would round keep their source text, and nesting is not limited.
 */

/** A number that JavaScript cannot represent, such as 9007199254740993 or 1e400, as its source text. */
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

let met = false; // whether `JSON.stringify` met an `ExactNumber`

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

/** Set a property as `JSON.parse` does, even "__proto__". */
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

/** The canonical form of a number's text, from sign, significant digits and exponent: `-12e3`. */
function digits(source) {
  const [, sign, whole, part = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source);
  const all = (whole + part).replace(/^0+/, "");
  const significant = all.replace(/0+$/, "");
  return significant && `${sign}${significant}e${Number(exponent) - part.length + all.length - significant.length}`;
}

/** The JSON text of a value; `indent` spaces a level, up to 20 levels. */
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
  const todo = [{ value, depth: 0 }]; // a stack of values and of finished texts
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
