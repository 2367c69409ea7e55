// The AsyncAPI document, as its official parser reads it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const PYTHON = `${ROOT}.venv/bin/python`;
const INFORMATION = 2; // such as that there is a newer version of AsyncAPI
const missing =
  !existsSync(`${HERE}node_modules/@asyncapi/parser`) &&
  "@asyncapi/parser is missing: run npm install in clients/js";

async function parsed(text) {
  const { Parser } = await import("@asyncapi/parser");
  const { document, diagnostics } = await new Parser().parse(text);
  const faults = diagnostics.filter(({ severity }) => severity < INFORMATION);
  assert.deepEqual(
    faults.map(({ message, path }) => `${path.join("/")}: ${message}`),
    [],
  );
  return document;
}

test("the official parser finds no fault in docs/asyncapi.json", { skip: missing }, async () => {
  const document = await parsed(readFileSync(`${ROOT}docs/asyncapi.json`, "utf8"));
  assert.equal(document.version(), "3.0.0");
  const [channel] = document.channels().all();
  assert.equal(channel.address(), "/ws");
  const names = channel.messages().all().map((message) => message.id());
  for (const name of ["workflow.started", "connected", "gap", "subscribe", "error"]) {
    assert.ok(names.includes(name), name);
  }
  const asked = document.operations().filterByReceive().map((operation) => operation.id());
  assert.deepEqual(asked.sort(), ["ping", "subscribe", "unsubscribe"]);
});

test(
  "nor in that of an application with events of its own",
  { skip: missing || (!existsSync(PYTHON) && `${PYTHON} is missing: run make install`) },
  async () => {
    const { stdout } = await promisify(execFile)(
      PYTHON,
      ["-m", "app.contract", "asyncapi", "tests.shop_events"],
      { cwd: ROOT, maxBuffer: 10_000_000 },
    );
    const document = await parsed(stdout);
    const messages = document.allMessages().all().map((message) => message.id());
    assert.ok(messages.includes("shop.order_placed"));
  },
);
