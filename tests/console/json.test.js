import assert from "node:assert/strict";
import test from "node:test";

import { ExactNumber, parse, stringify } from "../../app/static/json.js";
import { randomJson, seeded } from "./random.js";

test("numbers that JavaScript would round are kept as they came", () => {
  for (const source of ["9007199254740993", "-9007199254740993", "1e400", "-1E+400", "1e-400", "0.1000000000000000055", "-0", "-0.0"]) {
    const [value] = parse(`[${source}]`);
    assert.ok(value instanceof ExactNumber, source);
    assert.equal(String(value), source);
    assert.equal(stringify([value]), `[${source}]`);
    assert.equal(stringify({ a: [value] }, 2), `{\n  "a": [\n    ${source}\n  ]\n}`);
  }
});

test("numbers that JavaScript holds are plain numbers", () => {
  for (const source of ["0", "1.0", "1e5", "100E-2", "9007199254740992", "0.30000000000000004", "1e21", "5e-324", "0.000e99"]) {
    assert.equal(parse(`[${source}]`)[0], Number(source), source);
  }
});

test("digits inside a text are no numbers", () => {
  for (const text of ["9007199254740993", 'a"1e400', "\\", "9007199254740993\\\"9007199254740993", "{[,:"]) {
    assert.deepEqual(parse(JSON.stringify({ [text]: text, n: 1e20 })), { [text]: text, n: 1e20 });
  }
});

test("any JSON reads and writes as JSON.parse and JSON.stringify do", () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const value = randomJson(seeded(seed));
    const text = JSON.stringify(value);
    assert.equal(stringify(parse(`[1e400,${text}]`)[1]), text, `seed ${seed}`);
    assert.equal(stringify([new ExactNumber("1e400"), value]), `[1e400,${text}]`, `seed ${seed}`);
    assert.deepEqual(JSON.parse(stringify(value, 2)), JSON.parse(text), `seed ${seed}`);
  }
});

test("nesting has no limit of its own, and indents no further than twenty levels", () => {
  const deep = `${"[".repeat(100_000)}1e400${"]".repeat(100_000)}`;
  assert.equal(stringify(parse(deep)), deep);
  assert.ok(stringify(parse(deep), 2).length < 10_000_000);
});

test("what is no JSON is refused", () => {
  for (const text of ["", "{", "[9007199254740993", "9007199254740993 1", "{1e400}", "-"]) assert.throws(() => parse(text), SyntaxError);
});
