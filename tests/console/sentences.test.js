import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { burstOf, duration, gapOf, isFailure, whatOf, whoOf } from "../../app/static/sentences.js";
import { event, file, gap } from "./events.js";

const read = (made, names) => `${whoOf(made)} ${whatOf(made, names)}`;

// One line a type: data, metadata, what a person reads.
const SENTENCES = [
  ["workflow.started", { workflow_id: "w", workflow_name: "Create PRD" }, { agent: "Winston" }, "Winston started Create PRD"],
  [
    "workflow.step_completed",
    { workflow_id: "w", workflow_name: "Create PRD", step_name: "Draft", step_index: 2, total_steps: 5 },
    { agent: "Winston" },
    "Winston finished step 2 of 5 of Create PRD: Draft",
  ],
  ["workflow.finished", { workflow_id: "w", status: "success", duration_ms: 5120 }, {}, "Someone finished w in 5.1 s"],
  ["workflow.finished", { workflow_id: "w", status: "timed_out", duration_ms: 20 }, {}, "Someone finished w in 20 ms (timed out)"],
  ["workflow.failed", { workflow_id: "w", error: "exit 2", step_name: "compile" }, {}, "Someone failed at compile, a step of w: exit 2"],
  ["chat.message_sent", { role: "user", content: "Run\n it", agent_name: "Ada" }, {}, "User wrote to Ada: “Run it”"],
  ["chat.message_received", { role: "assistant", content: "Done.", agent_name: "Ada" }, {}, "Ada answered: “Done.”"],
  ["chat.streaming_chunk", { chunk: "Do", agent_name: "Ada" }, {}, "Ada is writing: “Do”"],
  ["chat.thinking_started", { agent_name: "Ada" }, {}, "Ada is thinking"],
  ["chat.thinking_finished", { agent_name: "Ada", duration_ms: 830 }, {}, "Ada thought for 830 ms"],
  ["file.created", { path: "src/a.py", size: 2048 }, { source: "workspace" }, "workspace created src/a.py (2.0 kB)"],
  ["file.modified", { path: "a", size: 3_000_000 }, {}, "Someone modified a (3.0 MB)"],
  ["file.deleted", { path: "src/old", is_directory: true }, {}, "Someone deleted folder src/old"],
  ["state.epic_created", { epic_id: 7, title: "Live" }, { agent: "Bob" }, "Bob created epic 7: Live"],
  ["state.story_created", { story_id: "7.1", title: "Show", epic_id: 7 }, {}, "Someone created story 7.1 of epic 7: Show"],
  ["state.story_transitioned", { story_id: "7.1", from_state: "ready", to_state: "in_progress" }, {}, "Someone moved story 7.1 from ready to in progress"],
  ["git.commit_created", { commit_hash: "9f1c2abdef", message: "Fix\n\nwhy", author: "Ada", files_changed: ["a"] }, { source: "git" }, "Ada committed 9f1c2ab Fix (1 file)"],
  ["ceremony.started", { ceremony_id: "c", ceremony_type: "stand_up", participants: ["Ada", "Bob", "Cy"] }, {}, "Someone opened a stand up with Ada, Bob and Cy"],
  ["ceremony.message", { ceremony_id: "c", content: "Hi", agent_name: "Ada" }, {}, "Ada said: “Hi”"],
  ["ceremony.ended", { ceremony_id: "c", summary: "Agreed", duration_ms: 200_000 }, {}, "Someone ended the ceremony after 3 min 20 s: Agreed"],
  ["kanban.card_moved", { card_id: 1, from_column: "todo", to_column: "done" }, {}, "Someone moved card 1 from todo to done"],
  ["kanban.card_updated", { card_id: 1, title: "T", assignee: "Ada" }, {}, "Someone changed title and assignee of card 1: T"],
  ["session.mode_changed", { mode: "read_only", previous_mode: "write" }, {}, "Someone switched the session from write to read only"],
  ["provider.changed", { provider: "local", model: "small" }, {}, "Someone switched to local (small)"],
  ["system.error", { message: "disk full", code: "ENOSPC", component: "store" }, {}, "store reported an error: disk full (ENOSPC)"],
  ["agent.session_started", { task: "Fix it" }, { agent: "Ada" }, "Ada started a session: Fix it"],
  ["agent.tool_called", { tool_name: "Bash", command: "make test" }, { agent: "Ada" }, "Ada called Bash: make test"],
  ["agent.tool_called", { tool_name: "Read", tool_input: { file_path: "a.py" } }, {}, "Someone called Read: a.py"],
  ["agent.tool_called", { tool_name: "Read", tool_input: null }, {}, "Someone called Read"],
  ["agent.tool_finished", { tool_name: "Bash", duration_ms: 1200 }, { agent: "Ada" }, "Ada finished Bash in 1.2 s"],
  ["agent.tool_finished", { tool: "Bash", success: false }, { agent: "Ada" }, "Ada did not get through with Bash"],
  ["agent.message", { text: "Hi" }, { agent: "Ada" }, "Ada said: “Hi”"],
  ["agent.turn_started", { prompt: "Fix it" }, { agent: "Ada" }, "Ada began to work on: Fix it"],
  ["agent.turn_finished", { outcome: "ok", summary: "Fixed." }, { agent: "Ada" }, "Ada finished its turn: Fixed."],
  ["agent.batch_finished", { calls: [{}] }, { agent: "Ada" }, "Ada finished a batch of calls"],
  ["agent.attention_needed", { reason: "permission", message: "May I?" }, { agent: "Ada" }, "Ada needs you: May I?"],
  ["agent.usage_reported", { input_tokens: 15, output_tokens: 66 }, { agent: "Ada" }, "Ada used 15 tokens in, 66 out"],
  ["agent.error", { error: "rate_limit" }, { agent: "Ada" }, "Ada met an error: rate_limit"],
  ["system.audit", { action: "token_revoked", identity: "ci" }, { source: "gateway" }, "gateway recorded: token revoked (ci)"],
  ["agent.reported", { kind: "PreCompact" }, { agent: "Ada" }, "Ada reported PreCompact"],
  ["agent.session_finished", { duration_ms: 60_000 }, { agent: "Ada" }, "Ada finished its session after 1 min 0 s"],
  ["deploy.release_shipped", { version: 3, region: "eu" }, {}, "Someone release shipped: version 3, region eu"],
  ["deploy.release_shipped", { title: "Three" }, {}, "Someone release shipped: Three"],
];

for (const [type, data, metadata, sentence] of SENTENCES) {
  test(`${type} reads: ${sentence}`, () => assert.equal(read(event(type, data, { metadata })), sentence));
}

test("every type of the catalog has a sentence of its own", () => {
  const page = readFileSync(new URL("../../docs/events.md", import.meta.url), "utf8");
  const types = [...page.matchAll(/^## ([a-z_]+\.[a-z_]+)$/gm)].map(([, type]) => type);
  assert.ok(types.length > 20);
  const tested = new Set(SENTENCES.map(([type]) => type));
  assert.deepEqual(types.filter((type) => !tested.has(type)), []);
});

test("a workflow that was named before is called by its name", () => {
  const step = event("workflow.step_completed", { workflow_id: "w", step_name: "s", step_index: 1, total_steps: 3 });
  assert.equal(whatOf(step, (id) => (id === "w" ? "Nightly" : undefined)), "finished step 1 of 3 of Nightly: s");
});

test("fields of any type, or none at all, never throw and never show an object", () => {
  for (const [type] of SENTENCES) {
    for (const value of [undefined, null, {}, [], [{}], 0, "", true, NaN, "x".repeat(100_000)]) {
      const data = new Proxy({}, { get: () => value, ownKeys: () => [], has: () => true });
      const sentence = read({ type, data, metadata: { agent: value, source: value } });
      assert.doesNotMatch(sentence, /\[object|undefined|null|NaN/);
      assert.ok(sentence.length < 2500, `${type}: ${sentence.length}`);
    }
    read({ type, data: {}, metadata: null });
  }
});

test("a type called like a method of objects is only a type", () => {
  assert.equal(whatOf(event("constructor.name", {})), "name");
});

test("what failed is a failure", () => {
  assert.ok(isFailure(event("system.error")));
  assert.ok(isFailure(event("workflow.failed")));
  assert.ok(isFailure(event("workflow.finished", { status: "failed" })));
  assert.ok(isFailure(event("agent.tool_finished", { error: "exit 1" })));
  assert.ok(isFailure(event("deploy.rollout_failed")));
  assert.ok(!isFailure(event("workflow.finished", { status: "success" })));
  assert.ok(!isFailure(event("agent.tool_finished", {})));
});

test("a burst names how many files and their common folder", () => {
  assert.equal(burstOf([file("src/ui/a.js"), file("src/ui/b.js")]), "modified 2 files in src/ui");
  assert.equal(burstOf([file("src/a.js"), file("lib/b.js")]), "modified 2 files");
  const mixed = [event("file.created", { path: "a/b" }), event("file.deleted", { path: "a/c" })];
  assert.equal(burstOf(mixed), "changed 2 files in a: 1 created, 1 deleted");
});

test("a gap says how much was lost, where and why", () => {
  assert.equal(gapOf(gap()), "7 events lost, #3 to #9: this page read too slowly");
  assert.equal(gapOf(gap({ to_sequence_number: 3, dropped: 1 })), "1 event lost, #3: this page read too slowly");
  const restarted = gap({ from_sequence_number: null, to_sequence_number: null, dropped: null, reason: "epoch_changed" });
  assert.equal(gapOf(restarted), "Some events may be lost: the gateway restarted and its numbers began again");
  assert.match(gapOf(gap({ reason: "of_a_later_version" })), /of_a_later_version/);
});

test("durations read as a person says them", () => {
  const said = [0, 830, 5120, 59_949, 59_960, 200_000, 7_500_000, NaN, "5"].map(duration);
  assert.deepEqual(said, ["0 ms", "830 ms", "5.1 s", "59.9 s", "1 min 0 s", "3 min 20 s", "2 h 5 min", "", ""]);
});
