/** Random JSON by a seed, with everything that pages have stumbled over. */

/** A generator of numbers below `n`; the same for the same seed. */
export function seeded(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0; // mulberry32
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  };
}

const TEXTS = [
  "", " ", "Ada", "\u202egnp.exe", "\u2066x", "\0\x07\x1b[31m", "\ud800", "x\udc00y", "\u2028\u2029", "a\r\nb\tc", "שלום", "👩‍💻", "İ", "\ufeff",
  "=1+1", "<img src=x onerror=alert(1)>", "__proto__", "constructor", "toString", "[object Object]", "${x}", "%s%n", "NaN", "-0", "2026-11-24T12:00:00.000Z",
  "x".repeat(30_000), "\n".repeat(3000), "🙂".repeat(500), "e\u0301\u0302\u0303".repeat(300), "/".repeat(2000),
];
const NUMBERS = [0, -1, 1, 0.5, 1e308, -1e308, 5e-324, 2 ** 53, -(2 ** 53), 999999999999, 1e21];
const KEYS = ["__proto__", "constructor", "toString", "valueOf", "length", "then", "path", "name", "message_id", "", "\u202e", "0", "-1", "hasOwnProperty", "toJSON"];
const own = (pairs) => JSON.parse(`{${pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`);

/** Any JSON value. */
export function randomJson(random, depth = 0) {
  const pick = (list) => list[random(list.length)];
  switch (random(depth > 3 ? 5 : 9)) {
    case 0:
      return pick([null, true, false]);
    case 1:
      return pick(NUMBERS);
    case 2:
    case 3:
      return pick(TEXTS);
    case 4:
      return pick([{ toString: 1, valueOf: 1 }, [], {}, [[]], [null], { toString: null }, own([["__proto__", null]]), { toJSON: 1 }, { length: -1 }]);
    case 5:
      return Array.from({ length: random(5) }, () => randomJson(random, depth + 1));
    case 6:
      return nested(1 + random(250), pick([null, "deep", {}]));
    default:
      return own(Array.from({ length: random(5) }, () => [pick(KEYS), randomJson(random, depth + 1)]));
  }
}

function nested(levels, value) {
  let made = value;
  for (let level = 0; level < levels; level += 1) made = level % 2 ? [made] : { a: made };
  return made;
}
