// What a page sees of `EventStream`, with everything around it faked.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import { EventStream, StreamError } from "../sightline.js";
import { FakePage, answer, connected, event, gap } from "./fakes.js";

const numbers = (items) => items.map((item) => item.sequence_number ?? item.type);

test("a relative url is the page's origin, and cookie login offers the protocol alone", () => {
  const page = new FakePage();
  page.stream();
  assert.equal(page.socket.address.origin + page.socket.address.pathname, "ws://localhost:5173/ws");
  assert.deepEqual(page.socket.protocols, ["events.v1"]);
});

test("a log-in's browser key goes to the page's own origin alone, and never into the address", () => {
  const page = new FakePage();
  page.browserKey = "k3y";
  page.stream();
  assert.deepEqual(page.socket.protocols, ["events.v1", "key.k3y"]);
  assert.ok(!page.socket.address.href.includes("k3y"));
  page.stream({ token: "s3cret" });
  assert.deepEqual(page.socket.protocols, ["events.v1", "token.s3cret"]);
  page.stream({ url: "/prefix/ws" });
  assert.deepEqual(page.socket.protocols, ["events.v1"]); // the log-in of another gateway
  page.base = "/prefix/";
  page.stream({ url: "/prefix/ws" });
  assert.deepEqual(page.socket.protocols, ["events.v1", "key.k3y"]);
  page.base = "/";
  for (const url of ["http://localhost:5174/ws", "wss://localhost:5173/ws", "https://h.example/ws"]) {
    page.stream({ url });
    assert.deepEqual(page.socket.protocols, ["events.v1"]);
  }
});

test("the question after a refused upgrade carries the browser key as a header", async () => {
  const page = new FakePage();
  page.browserKey = "k3y";
  page.stream();
  page.socket.onclose({ code: 1006 });
  assert.deepEqual(page.requests.at(-1).headers, { "X-Browser-Key": "k3y" });
  assert.ok(!page.requests.at(-1).address.includes("k3y"));
});

test("a session that the gateway ended is not come back with", () => {
  const page = new FakePage();
  const stream = page.stream({ token: "s3cret" });
  page.connect();
  page.socket.onclose({ code: 4401 });
  assert.equal(stream.state.name, "refused");
  assert.equal(stream.state.reason, "not logged in");
  assert.match(stream.state.message, /log in again/);
  assert.equal(page.timers, 0);
});

test("an absolute url and a token, which is nowhere in the address", () => {
  const page = new FakePage();
  page.stream({ url: "https://events.example.org/live/ws?a=b#c", token: "s3cret" });
  assert.match(page.socket.address.href, /^wss:\/\/events\.example\.org\/live\/ws\?a=b&client_id=/);
  assert.deepEqual(page.socket.protocols, ["events.v1", "token.s3cret"]);
  assert.ok(!page.socket.address.href.includes("s3cret"));
  assert.equal(page.socket.address.hash, "");
});

test("what cannot work is refused at once, with the remedy", () => {
  const environment = { location: undefined };
  assert.throws(() => new EventStream({ environment }), /give one like "ws:/);
  assert.throws(() => new EventStream({ url: "ftp://x/ws" }), /neither http/);
  assert.throws(() => new EventStream({ url: "ws://x/ws", token: "two words" }), /copy it again/);
  assert.throws(() => new EventStream({ url: "ws://x/ws", types: ["Bad"] }), /"Bad" is malformed/);
  assert.throws(() => new EventStream({ url: "ws://x/ws", types: "git.*" }), /array of patterns/);
  const long = Array.from({ length: 100 }, (_, i) => `n.${"a".repeat(50)}${i}`);
  assert.throws(() => new EventStream({ url: "ws://x/ws", types: long }), /use wildcards/);
});

test("two streams never share a client id", () => {
  const ids = new Set(Array.from({ length: 100 }, () => new FakePage().stream().clientId));
  assert.equal(ids.size, 100);
  for (const id of ids) assert.match(id, /^[A-Za-z0-9._-]{1,64}$/);
});

test("handlers and listeners get states, events and gaps in order", () => {
  const page = new FakePage();
  const seen = [];
  const stream = page.stream({
    onEvent: (item) =>
      seen.push(["onEvent", item.sequence_number, stream.position.sequence_number]),
    onGap: (item) => seen.push(["onGap", item.to_sequence_number]),
    onState: (state) => seen.push(["onState", state.name]),
  });
  stream.addEventListener("event", ({ detail }) => seen.push(["event", detail.sequence_number]));
  stream.addEventListener("gap", ({ detail }) => seen.push(["gap", detail.to_sequence_number]));
  page.connect({ sequence_number: 3 });
  page.say(event(5), event(5), gap(6, 8, "expired"));
  assert.deepEqual(seen, [
    ["onState", "connecting"],
    ["onState", "live"],
    ["onEvent", 5, 3], // the position is what has been processed
    ["event", 5],
    ["onGap", 8],
    ["gap", 8],
  ]);
  assert.deepEqual({ ...stream.position }, { epoch: "e-1", sequence_number: 8 });
  assert.deepEqual(stream.limits, { max_clients: 10 });
});

test("the first state is reported after the constructor has returned", () => {
  const page = new FakePage();
  const states = [];
  const stream = new EventStream({
    onState: () => states.push(stream.state.name),
    environment: page.environment,
  });
  assert.deepEqual(states, []);
  page.advance(0);
  assert.deepEqual(states, ["connecting"]);
});

test("a lost connection is resumed after a random part of a growing pause, reset by a good minute", () => {
  const page = new FakePage();
  const stream = page.stream({ types: ["git.*"] });
  page.connect({ types: ["git.*"] });
  page.say(event(4));
  for (const retryInS of [0.25, 0.5, 1, 2, 4, 8, 15, 15]) {
    page.lose(1011);
    assert.deepEqual(stream.state, { name: "reconnecting", retryInS, reason: "connection lost" });
    const before = page.sockets.length;
    page.advance(retryInS - 0.001);
    assert.equal(page.sockets.length, before);
    page.advance(0.001);
    assert.equal(page.sockets.length, before + 1);
    assert.equal(stream.state.name, "connecting");
    assert.deepEqual(page.query, {
      client_id: stream.clientId,
      types: "git.*",
      last_sequence_number: "4",
      epoch: "e-1",
    });
  }
  page.connect({ heartbeat_interval_s: 90 });
  page.advance(59.9);
  page.lose(1011);
  assert.equal(stream.state.retryInS, 15);
  page.advance(15);
  page.connect({ heartbeat_interval_s: 90 });
  page.advance(60);
  page.lose(1011);
  assert.equal(stream.state.retryInS, 0.25);
});

test("a gateway that accepts and drops is tried ever more rarely", () => {
  const page = new FakePage();
  page.stream();
  for (let tenth = 0; tenth < 150; tenth++) {
    if (!page.socket.isClosed) {
      page.connect();
      page.lose(1011);
    }
    page.advance(0.1);
  }
  assert.ok(page.sockets.length <= 7, `${page.sockets.length} connections in 15 s`);
});

test("a thousand clients return spread over a Retry-After, and none before it", async () => {
  const date = new Date(Date.UTC(2026, 10, 22, 21, 0, 5)).toUTCString();
  for (const [header, from, to] of [
    ["5", 5, 10],
    [date, 5, 10],
    ["5000000", 600, 1200],
    ["soon", 0, 0.5],
    [null, 0, 0.5],
  ]) {
    const pauses = new Set();
    for (let client = 0; client < 1000; client++) {
      const page = new FakePage();
      page.answer = answer(503, { message: "full" }, { "Retry-After": header });
      const environment = {
        random: () => client / 1000,
        wallClock: () => Date.UTC(2026, 10, 22, 21),
      };
      const stream = new EventStream({ environment: { ...page.environment, ...environment } });
      page.advance(0);
      page.lose();
      await turn();
      const { name, retryInS } = stream.state;
      assert.equal(name, "reconnecting");
      assert.ok(retryInS >= from && retryInS < to, `${header}: ${retryInS}`);
      pauses.add(retryInS);
    }
    assert.ok(pauses.size > 900, `${header}: ${pauses.size} different pauses`);
  }
});

test("a session that was ended is not asked for again", () => {
  const page = new FakePage();
  const stream = page.stream();
  page.connect();
  page.lose(4401);
  assert.equal(stream.state.name, "refused");
  assert.equal(stream.state.reason, "not logged in");
  assert.match(stream.state.message, /log in again/);
  page.window.dispatchEvent(new Event("online"));
  page.advance(3600);
  assert.equal(page.sockets.length, 1);
});

test("a message that cannot be read is a counted gap where it stood, and the stream goes on", () => {
  const page = new FakePage();
  const items = [];
  const errors = [];
  const stream = page.stream({ batch: true, onEvents: (batch) => items.push(...batch) });
  stream.addEventListener("error", (error) => {
    errors.push(error.detail.code);
    error.preventDefault();
  });
  page.connect();
  const { data, ...headless } = event(4);
  const unreadable = [
    "",
    "{",
    "null",
    "[]",
    '{"type":{"toString":1}}',
    new Blob(["x"]),
    JSON.stringify(event(-1)),
    JSON.stringify(event(1.5)),
    '{"type":"a.b","sequence_number":1e400,"data":{},"metadata":{}}',
    '{"type":"heartbeat","sequence_number":"9"}',
    '{"type":"gap","to_sequence_number":{}}',
    '{"type":"error","code":{"toString":1},"message":[]}',
    '{"type":"subscribed","types":7}',
    '{"type":"connected","epoch":7,"sequence_number":9,"types":[]}',
  ];
  page.say(event(1));
  for (const text of unreadable) page.socket.onmessage({ data: text });
  page.say(headless, { ...event(5), data: [] }, { ...event(6), metadata: null }, event(7));
  page.frame();
  const lost = { type: "gap", dropped: 1, reason: "undecodable" };
  const at = (number) => ({ ...lost, from_sequence_number: number, to_sequence_number: number });
  assert.deepEqual(items, [
    event(1),
    ...unreadable.map(() => at(null)),
    at(4),
    at(5),
    at(6),
    event(7),
  ]);
  assert.equal(stream.position.sequence_number, 7);
  assert.equal(errors.length, unreadable.length + 3);
  assert.deepEqual([...new Set(errors)], ["malformed_message"]);
});

test("a notice is handed to its callback and its listeners", () => {
  const page = new FakePage();
  const seen = [];
  const stream = page.stream({ onNotice: ({ message }) => seen.push(message) });
  stream.addEventListener("notice", ({ detail }) => seen.push(detail.code));
  page.connect();
  page.say({ type: "notice", timestamp: "", code: "backend_away", message: "NATS is away" });
  assert.deepEqual(seen, ["NATS is away", "backend_away"]);
  assert.equal(stream.state.name, "live");
});

test("a page may parse messages by itself, and what its parser refuses is a gap", () => {
  const page = new FakePage();
  const seen = [];
  page.stream({
    parse: (text) => {
      if (text.includes("poison")) throw new SyntaxError("no");
      return JSON.parse(text.replace("9007199254740993", '"9007199254740993"'));
    },
    onEvent: ({ data }) => seen.push(data.id),
    onGap: ({ reason }) => seen.push(reason),
  }).addEventListener("error", (error) => error.preventDefault());
  page.connect();
  const message = JSON.stringify({ ...event(1), data: { id: 1 } });
  page.socket.onmessage({ data: message.replace('"id":1', '"id":9007199254740993') });
  page.say({ ...event(2), data: { id: "poison" } });
  assert.deepEqual(seen, ["9007199254740993", "undecodable"]);
});

test("an older connection is not heard any more", () => {
  const page = new FakePage();
  const seen = [];
  const stream = page.stream({ onEvent: (item) => seen.push(item) });
  page.connect();
  const old = page.socket;
  stream.reconnect();
  page.advance(0);
  page.connect();
  old.onmessage({ data: JSON.stringify(event(9)) });
  old.onclose({ code: 4409 });
  assert.ok(old.isClosed);
  assert.deepEqual(seen, []);
  assert.equal(stream.state.name, "live");
});

test("online and a visible tab cut the pause short; offline and a hidden tab do not", () => {
  const page = new FakePage();
  const stream = page.stream();
  page.connect();
  for (const [wake, count] of [
    [() => page.window.dispatchEvent(new Event("offline")), 0],
    [() => page.show("hidden"), 0],
    [() => page.show("visible"), 1],
    [() => page.window.dispatchEvent(new Event("online")), 1],
  ]) {
    page.lose(1011);
    const before = page.sockets.length;
    wake();
    assert.equal(page.sockets.length, before + count);
    if (!count) page.advance(stream.state.retryInS);
    page.connect();
    assert.equal(stream.state.name, "live");
  }
});

test("after too many messages it waits a minute, whatever wakes it", () => {
  const page = new FakePage();
  const stream = page.stream();
  page.connect();
  page.lose(4429);
  assert.deepEqual(stream.state, {
    name: "reconnecting",
    retryInS: 90, // a minute, and a random part of another
    reason: "too many messages",
  });
  page.window.dispatchEvent(new Event("online"));
  page.advance(89.9);
  assert.equal(page.sockets.length, 1);
  page.advance(0.1);
  assert.equal(page.sockets.length, 2);
});

test("replaced and too big messages are the end until the user wishes otherwise", () => {
  for (const [code, reason] of [
    [4409, "replaced"],
    [1009, "message too big"],
  ]) {
    const page = new FakePage();
    const stream = page.stream();
    page.connect();
    page.lose(code);
    assert.equal(stream.state.name, "refused");
    assert.equal(stream.state.reason, reason);
    page.window.dispatchEvent(new Event("online"));
    page.advance(3600);
    assert.equal(page.sockets.length, 1);
    stream.reconnect();
    assert.equal(stream.state.name, "connecting");
    page.advance(0);
    assert.equal(page.sockets.length, 2);
  }
});

for (const [status, body, state] of [
  [401, { message: "no token" }, { name: "refused", reason: "not logged in", message: "no token" }],
  [403, {}, { name: "refused", reason: "forbidden" }],
  [200, { identity: { read: [] } }, { name: "refused", reason: "forbidden" }],
  [400, {}, { name: "refused", reason: "bad request" }],
  [503, {}, { name: "reconnecting", retryInS: 0.25, reason: "full" }],
  [502, {}, { name: "reconnecting", retryInS: 0.25, reason: "down" }],
  [
    200,
    { places_taken: 10, limits: { max_clients: 10 } },
    { name: "reconnecting", retryInS: 0.25, reason: "full" },
  ],
]) {
  test(`an upgrade that fails is explained by /api/session: ${status} is ${state.reason}`, async () => {
    const page = new FakePage();
    page.answer = answer(status, body);
    const stream = page.stream({ url: "/gate/ws?x=1", token: "s3cret" });
    page.lose();
    assert.equal(stream.state.name, "connecting");
    await turn();
    assert.deepEqual(stream.state, state);
    const [{ address, headers }] = page.requests;
    assert.equal(address, "http://localhost:5173/gate/api/session");
    assert.deepEqual(headers, { "X-Session-Token": "s3cret" });
  });
}

test("a gateway that answers while its socket does not open is said to be just that", async () => {
  const page = new FakePage();
  page.answer = answer(200, { places_taken: 1, limits: { max_clients: 10 } });
  const stream = page.stream();
  page.lose();
  await turn();
  assert.equal(stream.state.reason, "connection lost");
  assert.match(stream.state.message, /proxy/);
});

test("no answer is down, and from another origin perhaps a missing setting", async () => {
  for (const [url, message] of [
    ["/ws", undefined],
    ["ws://127.0.0.1:3000/ws", /SIGHTLINE_ALLOWED_ORIGINS/],
  ]) {
    const page = new FakePage();
    const stream = page.stream({ url });
    page.lose();
    await turn();
    assert.equal(stream.state.reason, "down");
    assert.match(stream.state.message ?? "", message ?? /^$/);
  }
});

test("a gateway that accepts and stays silent is given up, and so is its /api/session", async () => {
  const page = new FakePage();
  page.answer = ({ signal }) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const stream = page.stream();
  page.advance(10);
  assert.ok(page.socket.isClosed);
  assert.equal(page.requests.length, 1);
  page.advance(10);
  await turn();
  assert.equal(stream.state.reason, "down");
});

test("an answer that comes after the stream was closed changes nothing", async () => {
  const page = new FakePage();
  page.answer = answer(401);
  const stream = page.stream();
  page.lose();
  stream.close();
  assert.ok(page.requests[0].signal.aborted);
  await turn();
  assert.equal(stream.state.name, "closed");
});

test("an overdue heartbeat is asked for, and silence after that is a lost connection", () => {
  const page = new FakePage();
  const stream = page.stream();
  page.connect();
  page.advance(34.9);
  assert.deepEqual(page.socket.sent, []);
  page.advance(0.1);
  assert.deepEqual(page.socket.sent, [{ type: "ping" }]);
  assert.equal(stream.state.name, "live");
  page.advance(5);
  assert.deepEqual(stream.state, {
    name: "reconnecting",
    retryInS: 0.25,
    reason: "connection lost",
  });
  assert.ok(page.socket.isClosed);
});

test("any frame is a sign of life", () => {
  const page = new FakePage();
  const stream = page.stream();
  page.connect();
  for (let beat = 0; beat < 20; beat++) {
    page.advance(30);
    page.say({ type: "heartbeat", timestamp: "", sequence_number: beat });
  }
  assert.deepEqual(page.socket.sent, []);
  page.advance(36);
  page.say({ type: "pong", timestamp: "" });
  page.advance(30);
  assert.equal(stream.state.name, "live");
  assert.equal(stream.position.sequence_number, 19);
});

test("a tab that wakes up asks at once whether the connection is still there", () => {
  const page = new FakePage();
  const stream = page.stream();
  page.connect();
  page.show("hidden");
  assert.deepEqual(page.socket.sent, []);
  page.show("visible");
  assert.deepEqual(page.socket.sent, [{ type: "ping" }]);
  page.advance(5);
  assert.equal(stream.state.name, "reconnecting");
});

test("an unbelievably long heartbeat interval does not spin", () => {
  const page = new FakePage();
  page.stream();
  page.connect({ heartbeat_interval_s: 1e9 });
  const before = page.timersSet;
  page.advance(3600);
  assert.equal(page.timersSet, before);
});

test("subscribe and unsubscribe resolve with the whole filter, which a reconnect remembers", async () => {
  const page = new FakePage();
  const stream = page.stream({ types: ["git.*"] });
  page.connect({ types: ["git.*"] });
  const subscribing = stream.subscribe(["chat.*"]);
  const unsubscribing = stream.unsubscribe(["git.*"]);
  assert.deepEqual(page.socket.sent, [
    { type: "subscribe", types: ["chat.*"], id: 1 },
    { type: "unsubscribe", types: ["git.*"], id: 2 },
  ]);
  page.say({ type: "subscribed", types: ["git.*", "chat.*"], sequence_number: 0, id: 1 });
  page.say({ type: "subscribed", types: ["chat.*"], sequence_number: 0, id: 2 });
  assert.deepEqual(await subscribing, ["git.*", "chat.*"]);
  assert.deepEqual(await unsubscribing, ["chat.*"]);
  page.lose();
  page.advance(1);
  assert.equal(page.query.types, "chat.*");
});

test("a change that no answer came to is carried by the next upgrade", async () => {
  const page = new FakePage();
  const stream = page.stream({ types: [] });
  const early = stream.subscribe(["chat.*"]); // the upgrade is under way without it
  page.connect({ types: [] });
  assert.deepEqual(page.socket.sent, [{ type: "subscribe", types: ["chat.*"], id: 1 }]);
  page.lose();
  const waiting = stream.subscribe(["git.*"]);
  page.advance(1);
  assert.equal(page.query.types, "chat.*,git.*");
  page.connect({ types: ["chat.*", "git.*"] });
  assert.deepEqual(page.socket.sent, []);
  assert.deepEqual(await early, ["chat.*", "git.*"]);
  assert.deepEqual(await waiting, ["chat.*", "git.*"]);
});

test("a refused change rejects, changes nothing and is no error of the stream", async () => {
  const page = new FakePage();
  const stream = page.stream({ types: ["git.*"] });
  const errors = [];
  stream.addEventListener("error", ({ detail }) => errors.push(detail));
  page.connect({ types: ["git.*"] });
  await assert.rejects(stream.subscribe(["Bad"]), { code: "invalid_pattern" });
  assert.deepEqual(page.socket.sent, []);
  const refused = stream.subscribe(["chat.*"]);
  page.say({ type: "error", code: "invalid_pattern", message: "no", id: 1 });
  await assert.rejects(refused, new StreamError("invalid_pattern", "no"));
  page.lose();
  page.advance(1);
  assert.equal(page.query.types, "git.*");
  assert.deepEqual(errors, []);
});

test("closing or being refused rejects what waits, also where nobody awaits it", async () => {
  const page = new FakePage();
  const stream = page.stream();
  void stream.subscribe(["a.*"]); // would end node if it were an unhandled rejection
  const waiting = stream.subscribe(["git.*"]);
  stream.close();
  await assert.rejects(waiting, { code: "closed" });
  await assert.rejects(stream.subscribe(["git.*"]), { code: "closed" });
  stream.reconnect();
  const again = stream.subscribe(["git.*"]);
  page.advance(0);
  page.lose(4409);
  await assert.rejects(again, { code: "refused" });
});

test("unanswered changes are bounded", async () => {
  const page = new FakePage();
  const stream = page.stream();
  for (let change = 0; change < 1000; change++) void stream.subscribe(["git.*"]);
  await assert.rejects(stream.subscribe(["git.*"]), { code: "too_many_changes" });
  stream.close();
});

test("a batch is one call a frame, gaps in their place, processed once the handler returned", () => {
  const page = new FakePage();
  const batches = [];
  const gaps = [];
  const stream = page.stream({
    batch: true,
    onEvent: () => assert.fail("events come in batches"),
    onEvents: (items) => batches.push([numbers(items), stream.position.sequence_number]),
    onGap: (item) => gaps.push(item.to_sequence_number),
  });
  page.connect();
  page.say(event(1), gap(2, 3, "expired"), event(4), { ...event(6), type: "heartbeat" });
  assert.deepEqual(batches, []);
  assert.equal(stream.position.sequence_number, 0); // a heartbeat never goes past what waits
  page.frame();
  assert.deepEqual(batches, [[[1, "gap", 4], 0]]);
  assert.deepEqual(gaps, [3]);
  assert.equal(stream.position.sequence_number, 6);
  page.advance(1);
  page.frame();
  assert.equal(batches.length, 1);
});

test("where no frame comes a timer hands over, and a full batch does not wait at all", () => {
  const page = new FakePage();
  const batches = [];
  const stream = page.stream({ batch: true, onEvents: (items) => batches.push(items.length) });
  page.connect();
  page.say(event(1));
  page.advance(0.25);
  assert.deepEqual(batches, [1]);
  for (let number = 2; number <= 2502; number++) page.say(event(number));
  assert.deepEqual(batches, [1, 1000, 1000]);
  page.advance(0.25);
  assert.deepEqual(batches, [1, 1000, 1000, 501]);
  assert.equal(stream.position.sequence_number, 2502);
});

test("what waits for a frame is handed over before the resume asks from behind it", () => {
  const page = new FakePage();
  const batches = [];
  const stream = page.stream({ batch: true, onEvents: (items) => batches.push(numbers(items)) });
  page.connect();
  page.say(event(1), event(2));
  stream.reconnect();
  page.advance(0);
  assert.deepEqual(batches, [[1, 2]]);
  assert.equal(page.query.last_sequence_number, "2");
});

test("what waited when the stream was closed comes after a reconnect, neither lost nor double", () => {
  const page = new FakePage();
  const batches = [];
  const stream = page.stream({ batch: true, onEvents: (items) => batches.push(numbers(items)) });
  page.connect();
  page.say(event(1), event(2));
  stream.close();
  page.frame();
  page.advance(1);
  assert.deepEqual(batches, []);
  stream.reconnect();
  page.advance(0);
  assert.deepEqual(batches, [[1, 2]]);
  assert.equal(page.query.last_sequence_number, "2");
});

test("a handler that reconnects does not get its event again", () => {
  const page = new FakePage();
  const stream = page.stream({ onEvent: () => stream.reconnect() });
  page.connect();
  page.say(event(1));
  page.advance(0);
  assert.equal(page.query.last_sequence_number, "1");
});

test("a handler may close the stream, whatever it is called for", () => {
  for (const name of ["connecting", "live", "behind", "reconnecting"]) {
    const page = new FakePage();
    const closing = ({ detail }) =>
      detail.name === name && detail.name === stream.state.name && stream.close();
    const stream = new EventStream({ environment: page.environment });
    stream.addEventListener("state", closing);
    page.advance(0);
    if (page.socket) {
      page.connect();
      page.say(gap(1, 2));
      if (stream.state.name !== "closed") page.lose(1011);
    }
    assert.equal(stream.state.name, "closed", name);
    assert.equal(page.timers, 0, name);
  }
  const page = new FakePage();
  const stream = page.stream({ batch: true, onEvents: () => stream.close() });
  page.connect();
  page.say(event(1));
  stream.reconnect();
  page.advance(0);
  assert.equal(stream.state.name, "closed");
  assert.equal(page.sockets.length, 1);
  const other = page.stream({ onGap: () => other.close() });
  page.connect();
  page.say(gap(1, 2));
  assert.equal(other.state.name, "closed");
  assert.equal(page.timers, 0);
});

test("an error of a handler is reported, its event is consumed, and the stream goes on", () => {
  const page = new FakePage();
  const errors = [];
  const seen = [];
  const stream = page.stream({
    onEvent: (item) => {
      seen.push(item.sequence_number);
      if (item.sequence_number === 1) throw new RangeError("mine");
    },
  });
  stream.addEventListener("error", (error) => {
    errors.push(error.detail);
    error.preventDefault();
  });
  page.connect();
  page.say(event(1), event(2));
  assert.deepEqual(seen, [1, 2]);
  assert.equal(stream.position.sequence_number, 2);
  assert.equal(errors[0].code, "handler_failed");
  assert.equal(errors[0].cause.message, "mine");
});

test("an error that nobody prevents is seen in the console", () => {
  const page = new FakePage();
  const console_error = mock.method(console, "error", () => {});
  page.stream();
  page.connect();
  page.socket.onmessage({ data: "{" });
  page.say({ type: "error", code: "binary_frame", message: "text, please" });
  console_error.mock.restore();
  const codes = console_error.mock.calls.map(({ arguments: [error] }) => error.code);
  assert.deepEqual(codes, ["malformed_message", "binary_frame"]);
});

test("behind is said when the gateway dropped events, and passes when it drops no more", () => {
  const page = new FakePage();
  const stream = page.stream();
  page.connect();
  page.say(gap(1, 2, "expired"));
  assert.equal(stream.state.name, "live");
  page.say(gap(3, 5));
  assert.deepEqual(stream.state, { name: "behind", reason: "slow_consumer" });
  page.advance(4);
  page.say(gap(7, 8));
  page.advance(4.9);
  assert.equal(stream.state.name, "behind");
  page.advance(0.1);
  assert.equal(stream.state.name, "live");
});

test("another epoch starts over, and its smaller numbers are delivered", () => {
  const page = new FakePage();
  const seen = [];
  const stream = page.stream({ onEvent: (item) => seen.push(item.sequence_number) });
  page.connect({ sequence_number: 500 });
  page.lose(1012);
  assert.equal(stream.state.reason, "restarting");
  page.advance(1);
  assert.equal(page.query.last_sequence_number, "500");
  page.connect({ epoch: "e-2", sequence_number: 2 });
  page.say(gap(null, null, "epoch_changed"), event(1), event(2));
  assert.deepEqual(seen, [1, 2]);
  assert.deepEqual({ ...stream.position }, { epoch: "e-2", sequence_number: 2 });
});

test("a heartbeat never moves the position into another epoch: only its gap does", () => {
  const page = new FakePage();
  const stream = page.stream();
  page.connect({ sequence_number: 500 });
  page.lose(1012);
  page.advance(1);
  page.connect({ epoch: "e-2", sequence_number: 2 });
  page.say({ ...event(2), type: "heartbeat" }, { ...event(600), type: "heartbeat" });
  assert.deepEqual({ ...stream.position }, { epoch: "e-1", sequence_number: 500 });
  page.lose(1006); // before the gap came: the next upgrade asks from the old epoch, and hears of it
  page.advance(1);
  assert.deepEqual([page.query.epoch, page.query.last_sequence_number], ["e-1", "500"]);
  page.connect({ epoch: "e-2", sequence_number: 2 });
  page.say(gap(null, null, "epoch_changed"), { ...event(2), type: "heartbeat" });
  assert.deepEqual({ ...stream.position }, { epoch: "e-2", sequence_number: 2 });
});

test("even a new epoch that no gap announced starts over", () => {
  const page = new FakePage();
  const seen = [];
  const stream = page.stream({ onEvent: (item) => seen.push(item.sequence_number) });
  page.connect({ sequence_number: 500 });
  page.lose(1012);
  page.advance(1);
  page.connect({ epoch: "e-2" });
  page.say(event(1));
  assert.deepEqual(seen, [1]);
  assert.deepEqual({ ...stream.position }, { epoch: "e-2", sequence_number: 1 });
});

test("an address that the browser forbids is a refusal, not an exception", () => {
  const page = new FakePage();
  class Forbidding {
    constructor() {
      throw new Error("an insecure WebSocket from a secure page");
    }
  }
  const environment = { ...page.environment, WebSocket: Forbidding };
  const stream = new EventStream({ environment });
  page.advance(0);
  assert.deepEqual(stream.state, {
    name: "refused",
    reason: "forbidden",
    message: "an insecure WebSocket from a secure page",
  });
});

test("a closed stream leaves no timer, no listener and no open socket", () => {
  const page = new FakePage();
  const seen = [];
  const stream = page.stream({ batch: true, onEvents: (items) => seen.push(items) });
  page.connect();
  page.say(event(1), gap(2, 3));
  stream.close();
  assert.equal(page.timers, 0);
  assert.ok(page.socket.isClosed);
  page.window.dispatchEvent(new Event("online"));
  page.show("visible");
  page.frame();
  page.advance(3600);
  assert.equal(page.sockets.length, 1);
  assert.deepEqual(seen, []);
  assert.equal(stream.state.name, "closed");
  assert.equal(connected.epoch, stream.position.epoch);
});
