// Bun's built-in server and its `publish`: uWebSockets underneath. Obeys orders as orders.py does.
import { readFileSync, writeSync } from "node:fs";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("", { status: 426 })),
  websocket: {
    perMessageDeflate: false,
    sendPings: false,
    idleTimeout: 0,
    backpressureLimit: 64 * 1024 * 1024,
    open: (socket) => socket.subscribe("events"),
    message: () => {},
  },
});

let number = 0; // the last sequence number given
// Shared memory: [events of this order that the slowest client has read].
const read = new Uint32Array(Bun.mmap(`${process.argv[2]}/progress`).buffer, 0, 1);
const turnOfTheLoop = () => new Promise((done) => setImmediate(done));
const seconds = () => performance.now() / 1000;
const say = (answer) => writeSync(1, JSON.stringify(answer) + "\n");

// What to add to performance.now() for the Unix time in ms: read where Date.now() ticks.
function clockOffset() {
  const tick = Date.now();
  while (Date.now() === tick);
  return Date.now() - performance.now();
}

// The events of an order's file, over and over; paced ones carry the time of their publishing.
function* feed({ file, rate }) {
  const events = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
  if (!rate) while (true) yield* events;
  const offset = clockOffset();
  const sent = () => Math.floor((performance.now() + offset) * 1000);
  while (true) for (const event of events) yield { ...event, data: { sent: sent(), ...event.data } };
}

function publish({ type, data, metadata }) {
  const timestamp = new Date().toISOString();
  const event = { type, timestamp, sequence_number: ++number, data, metadata };
  server.publish("events", JSON.stringify(event));
}

async function carryOut(order) {
  const events = feed(order);
  let published = 0;
  let paused = 0;
  const start = seconds();
  while (true) {
    const elapsed = seconds() - start;
    if (published >= order.events && elapsed >= order.seconds)
      return { published, seconds: elapsed, paused, samples: {} };
    let turn = order.per_turn;
    if (order.rate && (turn = Math.floor(elapsed * order.rate) + 1 - published) <= 0) {
      await Bun.sleep(Math.max(1, (published / order.rate - elapsed) * 1000)); // else it spins
      continue;
    }
    turn = Math.min(turn, order.window);
    while (published + turn - read[0] > order.window) {
      paused += 1;
      await turnOfTheLoop();
    }
    for (let i = 0; i < turn; i++) publish(events.next().value);
    published += turn;
    await turnOfTheLoop();
  }
}

process.stdin.on("end", () => process.exit());
process.stdin.on("data", (line) => carryOut(JSON.parse(line)).then(say));
say({ port: server.port });
