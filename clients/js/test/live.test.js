// `EventStream` against a real gateway process, over real sockets.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { EventStream } from "../sightline.js";
import { Cable, Gateway, TOKEN, missing, until } from "./gateway.js";

const said = (content) => ({ type: "chat.message_sent", data: { role: "user", content } });
const started = { type: "workflow.started", data: { workflow_id: "w", workflow_name: "n" } };

describe("against a real gateway", { skip: missing }, () => {
  let gateway;
  let streams = [];

  before(async () => {
    gateway = await Gateway.start({ SIGHTLINE_MAX_CLIENTS: "3" });
  });
  after(() => gateway.end());
  afterEach(() => {
    for (const stream of streams) stream.close();
    streams = [];
  });

  /** A stream that keeps what it hears. */
  function listen(options = {}) {
    const heard = { items: [], states: [] };
    const keep = (item) => heard.items.push(item);
    const handlers = options.batch
      ? { onEvents: (items) => items.forEach(keep) }
      : { onEvent: keep, onGap: keep };
    const url = `${gateway.url}/ws`;
    const onState = (state) => heard.states.push(state);
    heard.stream = new EventStream({ url, token: TOKEN, onState, ...handlers, ...options });
    streams.push(heard.stream);
    return heard;
  }

  const live = ({ stream }) => until(() => stream.state.name === "live", "live");
  const contents = ({ items }) => items.map(({ data, reason }) => data?.content ?? reason);

  test("it connects, hears whole events and knows its position and the limits", async () => {
    const heard = listen();
    await live(heard);
    const [accepted] = await gateway.publish(said("é\u2028<b>"));
    const [event] = await until(() => heard.items.length && heard.items);
    assert.deepEqual(event, { ...said("é\u2028<b>"), ...pick(accepted), metadata: {} });
    const { epoch, sequence_number } = accepted;
    assert.deepEqual({ ...heard.stream.position }, { epoch, sequence_number });
    assert.equal(heard.stream.limits.max_clients, 3);
    assert.deepEqual(
      heard.states.map(({ name }) => name),
      ["connecting", "live"],
    );
  });

  test("the filter of the upgrade, subscribe and unsubscribe", async () => {
    const heard = listen({ types: ["workflow.*"] });
    await live(heard);
    await gateway.publish(said("unheard"), started);
    assert.deepEqual(await heard.stream.subscribe(["chat.*"]), ["workflow.*", "chat.*"]);
    await gateway.publish(said("heard"));
    assert.deepEqual(await heard.stream.unsubscribe(["workflow.*"]), ["chat.*"]);
    await gateway.publish(started, said("last"));
    await until(() => contents(heard).at(-1) === "last");
    assert.deepEqual(contents(heard), [undefined, "heard", "last"]);
    await assert.rejects(heard.stream.subscribe(["Bad"]), { code: "invalid_pattern" });
  });

  test("after a cut it resumes: nothing lost, nothing double, the filter remembered", async () => {
    const cable = await Cable.to(gateway.port);
    const heard = listen({ url: `http://127.0.0.1:${cable.port}/ws`, types: [] });
    await live(heard);
    await heard.stream.subscribe(["chat.*"]);
    const all = [];
    for (let round = 0; round < 5; round++) {
      const before = [`${round} before`, `${round} still before`];
      await gateway.publish(...before.map(said));
      await until(() => contents(heard).at(-1) === before[1]);
      cable.cut();
      await gateway.publish(said(`${round} during`), started);
      await until(() => heard.states.at(-1).name === "reconnecting");
      heard.stream.reconnect();
      await live(heard);
      all.push(...before, `${round} during`);
      await until(() => heard.items.length >= all.length);
    }
    assert.deepEqual(contents(heard), all);
    cable.end();
  });

  test("a burst of 1,000 events arrives in a few batches, whole and in order", async () => {
    const batches = [];
    const heard = listen({ batch: true });
    heard.stream.addEventListener("events", ({ detail }) => batches.push(detail.length));
    await live(heard);
    const burst = Array.from({ length: 1000 }, (_, number) => said(String(number)));
    await gateway.publish(...burst);
    await until(() => heard.items.length === 1000);
    assert.deepEqual(
      contents(heard),
      burst.map(({ data }) => data.content),
    );
    assert.ok(batches.length <= 10, `${batches.length} batches`);
  });

  test("a wrong token is refused as not logged in, with the gateway's remedy", async () => {
    const { stream } = listen({ token: "wrong" });
    await until(() => stream.state.name === "refused");
    assert.equal(stream.state.reason, "not logged in");
    assert.match(stream.state.message, /session\.token/);
  });

  test("without a place it keeps trying, and says that the gateway is full", async () => {
    const others = [listen(), listen(), listen()];
    await Promise.all(others.map(live));
    const late = listen();
    await until(() => late.stream.state.reason === "full");
    assert.equal(late.stream.state.name, "reconnecting");
    others[0].stream.close();
    await live(late);
  });

  test("a newer connection with its client id replaces it, and it stays away", async () => {
    const { stream } = listen();
    await live({ stream });
    const address = `${gateway.url.replace("http", "ws")}/ws?client_id=${stream.clientId}`;
    const newer = new WebSocket(address, ["events.v1", `token.${TOKEN}`]);
    await until(() => stream.state.name === "refused");
    assert.equal(stream.state.reason, "replaced");
    newer.close();
  });

  test("too many messages cost a minute", async () => {
    const { stream } = listen();
    await live({ stream });
    for (let change = 0; change < 300; change++) void stream.subscribe(["git.*"]);
    await until(() => stream.state.name === "reconnecting");
    assert.equal(stream.state.reason, "too many messages");
    assert.ok(stream.state.retryInS >= 60 && stream.state.retryInS < 120);
  });

  test("a gateway that goes down in order is said to restart, and goes on without a gap", async () => {
    const heard = listen();
    await live(heard);
    await gateway.kill("SIGTERM");
    await until(() => heard.states.some(({ reason }) => reason === "restarting"));
    await gateway.run();
    await live(heard);
    await gateway.publish(said("new"));
    await until(() => heard.items.length === 1);
    assert.deepEqual(contents(heard), ["new"]);
  });

  test("after kill -9 and a restart: down, then live again with an honest gap", async () => {
    const heard = listen();
    await live(heard);
    await gateway.publish(said("old"));
    await until(() => heard.items.length === 1);
    const { epoch } = heard.stream.position;
    await gateway.kill();
    await until(() => heard.stream.state.reason === "down");
    await gateway.run();
    await gateway.publish(said("new"));
    heard.stream.reconnect();
    await until(() => contents(heard).at(-1) === "new");
    assert.deepEqual(contents(heard), ["old", "epoch_changed", "new"]);
    assert.notEqual(heard.stream.position.epoch, epoch);
    assert.equal(heard.stream.position.sequence_number, 1);
  });
});

function pick({ sequence_number, timestamp }) {
  return { sequence_number, timestamp };
}
