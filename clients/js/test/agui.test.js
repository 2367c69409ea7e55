// AG-UI: recorded sessions through a real gateway, taken by the official client wherever they are cut.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { Gateway, missing, TOKEN } from "./gateway.js";

const RECORDINGS = new URL("../../../tests/recordings/", import.meta.url);
const HEADERS = { "X-Session-Token": TOKEN };
const client = await import("@ag-ui/client").catch(() => null);
const skip = missing || (!client && "needs @ag-ui/client: run npm install in clients/js");
const rxjs = client && (await import("rxjs"));
const core = client && (await import("@ag-ui/core"));

/** The hooks of a recorded file: path and body of each. */
async function hooks(name) {
  const text = await readFile(new URL(name, RECORDINGS), "utf8");
  const records = text.trim().split("\n").map((line) => JSON.parse(line));
  return records.filter((record) => record.at === "hook");
}

/** Ids and events of a session, behind an id, up to the one that `isLast` takes. */
async function read(url, threadId, isLast, behind) {
  const abort = new AbortController();
  const headers = behind === undefined ? HEADERS : { ...HEADERS, "Last-Event-ID": behind };
  const answer = await fetch(`${url}/api/agui/${encodeURIComponent(threadId)}`, {
    headers,
    signal: abort.signal,
  });
  assert.equal(answer.status, 200);
  const found = [];
  let rest = "";
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const match = /^id: (.*)\ndata: (.*)$/.exec(block);
      if (match) found.push([match[1], JSON.parse(match[2])]);
      if (match && isLast(found.at(-1))) {
        abort.abort();
        return found;
      }
    }
  }
  throw new Error("the stream ended early");
}

const isMark = ([, event]) => event.value?.kind === "mark";

/** All that a session has up to its mark. */
const whole = (url, threadId, behind) => read(url, threadId, isMark, behind);

/** The official client's own checks: the schema of each event, and their order. */
async function verified(events) {
  const source = rxjs.from(events).pipe(client.verifyEvents(false), rxjs.toArray());
  assert.equal((await rxjs.lastValueFrom(source)).length, events.length);
}

describe("AG-UI", { skip }, () => {
  let gateway;
  const sessions = [];

  async function post(name) {
    for (const { path, body } of await hooks(name)) {
      const route = path === "/hooks/codex" ? "codex" : "claude-code";
      const url = `${gateway.url}/api/hooks/${route}`;
      await fetch(url, { method: "POST", headers: HEADERS, body: JSON.stringify(body) });
      if (!sessions.includes(body.session_id)) sessions.push(body.session_id);
    }
  }

  before(async () => {
    gateway = await Gateway.start({ SIGHTLINE_MAX_CLIENTS: "50" });
    const names = (await readdir(RECORDINGS)).filter((name) => name.endsWith(".jsonl"));
    await Promise.all(names.map(post));
    await gateway.publish(
      ...sessions.map((session_id) => ({ type: "agent.reported", data: { session_id, kind: "mark" } })),
    );
  });

  after(() => gateway.end());

  test("every recorded session is taken by verifyEvents and by the schemas", async () => {
    assert.ok(sessions.length > 40);
    for (const threadId of sessions) {
      const events = (await whole(gateway.url, threadId)).map(([, event]) => event);
      for (const event of events) {
        const schemas = core.EventSchemas ?? (await import("@ag-ui/core/schemas")).EventSchema;
        const parsed = schemas.safeParse(event);
        assert.ok(parsed.success, JSON.stringify([event, parsed.error?.issues]));
      }
      await verified(events);
    }
  });

  test("a client that was cut anywhere goes on, and verifyEvents takes the joined stream", async () => {
    for (const threadId of sessions) {
      const full = await whole(gateway.url, threadId);
      for (let index = sessions.indexOf(threadId) % 31; index < full.length - 1; index += 31) {
        const rest = await whole(gateway.url, threadId, full[index][0]);
        assert.deepEqual(rest, full.slice(index + 1));
        await verified([...full.slice(0, index + 1), ...rest].map(([, event]) => event));
      }
    }
  });

  test("the official agent reads a session with a subclass that asks by GET", async () => {
    class Sightline extends client.HttpAgent {
      requestInit() {
        return { method: "GET", headers: this.headers, signal: this.abortController.signal };
      }
    }
    const [{ body }] = await hooks("nested_two.jsonl");
    const url = `${gateway.url}/api/agui/${body.session_id}`;
    const agent = new Sightline({ url, headers: HEADERS, threadId: body.session_id });
    const seen = [];
    await agent.runAgent({}, {
      onEvent: ({ event }) => {
        seen.push(event.type);
        if (event.value?.kind === "mark") agent.abortRun();
      },
    });
    assert.ok(seen.includes("SUBAGENT_STARTED"));
    assert.ok(agent.messages.some((message) => message.role === "user"));
    const calls = agent.messages.flatMap((message) => message.toolCalls ?? []);
    const results = agent.messages.filter((message) => message.role === "tool");
    assert.equal(results.length, calls.length);
    assert.ok(calls.some((call) => call.function.name === "Agent" && JSON.parse(call.function.arguments).prompt));
  });
});
