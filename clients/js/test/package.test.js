// What is packed: the declarations narrow, the readme's examples run, the tarball holds what it must.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Gateway, TOKEN, missing, until } from "./gateway.js";

const run = promisify(execFile);
const HERE = fileURLToPath(new URL("..", import.meta.url));
const TSC = join(HERE, "node_modules/typescript/bin/tsc");
const README = readFileSync(join(HERE, "README.md"), "utf8");
const examples = (language) =>
  [...README.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, kind]) => kind === language)
    .map(([, , code]) => code);

/** A folder from which the package's own name resolves to it. */
function inside(t) {
  const folder = mkdtempSync(join(HERE, "test/.tmp-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test(
  "the declarations narrow, and the readme's TypeScript compiles",
  { skip: !existsSync(TSC) && "typescript is missing: run npm install in clients/js" },
  async (t) => {
    const folder = inside(t);
    const files = [join(HERE, "test/types.ts")];
    for (const [number, code] of examples("ts").entries()) {
      files.push(join(folder, `readme${number}.ts`));
      writeFileSync(files.at(-1), code);
    }
    assert.equal(files.length, 3);
    const options = "--noEmit --strict --target es2022 --lib es2022,dom --module nodenext".split(
      " ",
    );
    const compiled = await run(process.execPath, [TSC, ...options, ...files]).catch(
      (error) => error,
    );
    assert.equal(compiled.stdout, "");
    assert.equal(compiled.code, undefined);
  },
);

test("the readme's pages hear events", { skip: missing }, async (t) => {
  const gateway = await Gateway.start();
  t.after(() => gateway.end());
  const folder = inside(t);
  const pages = examples("js");
  assert.equal(pages.length, 4);
  for (const code of pages) {
    const page = join(folder, "page.mjs");
    const url = `ws://127.0.0.1:${gateway.port}/ws`;
    // What a page has and node has not: a place of its own, a cookie (here the token), a prompt.
    const options = code.includes("url:") ? "{" : `{ url: "${url}", token: "${TOKEN}",`;
    writeFileSync(
      page,
      `globalThis.prompt = () => "${TOKEN}";\n` +
        code
          .replace("ws://127.0.0.1:3000/ws", url)
          .replace("new EventStream({", `new EventStream(${options}`)
          .replace(" history({", ` history({ url: "${url}", token: "${TOKEN}",`),
    );
    const child = execFile(process.execPath, [...process.execArgv, page]);
    t.after(() => child.kill());
    let printed = "";
    child.stdout.on("data", (text) => (printed += text));
    child.stderr.on("data", (text) => (printed += text));
    await until(async () => {
      await gateway.publish({ type: "chat.message_sent", data: { role: "user", content: "hi" } });
      return printed.includes("chat.message_sent");
    }, "the page prints the event");
  }
});

test("the package holds the module, its declarations and the readme, and needs nothing", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json"], { cwd: HERE });
  const [{ files }] = JSON.parse(stdout);
  assert.deepEqual(files.map(({ path }) => path).sort(), [
    "README.md",
    "events.d.ts",
    "package.json",
    "sightline.d.ts",
    "sightline.js",
  ]);
  const { dependencies } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
  assert.equal(dependencies, undefined);
});
