import assert from "node:assert/strict";
import test from "node:test";

import { describe } from "../../app/static/connection.js";

test("only a live stream is called live", () => {
  const states = ["connecting", "behind", "reconnecting", "refused", "closed", "of a later version"];
  assert.equal(describe({ name: "live" }), "Live");
  for (const name of states) assert.doesNotMatch(describe({ name }), /live/i);
});

test("reconnecting tells when and why", () => {
  assert.equal(describe({ name: "reconnecting", reason: "down" }, 2.3), "Reconnecting in 3 s: the gateway does not answer");
  assert.equal(describe({ name: "reconnecting", reason: "down" }, -1), "Reconnecting now: the gateway does not answer");
});

test("a refusal says what to do, or what the gateway said", () => {
  assert.match(describe({ name: "refused", reason: "not logged in" }), /sightline login/);
  assert.equal(describe({ name: "refused", reason: "forbidden", message: "Origin x" }), "Refused: Origin x");
});
