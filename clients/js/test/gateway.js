// A real gateway process, and a cable to it that can be cut.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const PYTHON = join(ROOT, ".venv/bin/python");
export const TOKEN = "js-test-token-0123456789";

export const missing =
  typeof WebSocket === "undefined"
    ? "this node has no WebSocket: use node 22, or node 20 with --experimental-websocket"
    : !existsSync(PYTHON) && `no gateway to start: ${PYTHON} is missing, run make install`;

/** The value as soon as it is truthy; an error when it is not in time. */
export async function until(condition, what = String(condition)) {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await pause(10)) {
    const value = await condition();
    if (value) return value;
  }
  throw new Error(`not in time: ${what}`);
}

async function listening(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}

export class Gateway {
  #process;

  static async start(settings = {}) {
    const gateway = new Gateway();
    const probe = createServer();
    gateway.port = await listening(probe);
    probe.close();
    gateway.url = `http://127.0.0.1:${gateway.port}`;
    gateway.folder = await mkdtemp(join(tmpdir(), "sightline-js-"));
    gateway.settings = settings;
    await gateway.run();
    return gateway;
  }

  async run() {
    const command = ["-m", "litestar", "--app", "sightline:create_app", "run", "--port", `${this.port}`];
    this.#process = spawn(PYTHON, command, {
      cwd: this.folder,
      stdio: "ignore",
      env: {
        PATH: process.env.PATH,
        PYTHONPATH: ROOT,
        SIGHTLINE_WORKSPACE: "",
        SIGHTLINE_SESSION_TOKEN: TOKEN,
        ...this.settings,
      },
    });
    await until(() => fetch(`${this.url}/api/health`).catch(() => null), "the gateway answers");
  }

  async kill(signal = "SIGKILL") {
    this.#process.kill(signal);
    await once(this.#process, "exit");
  }

  async end() {
    await this.kill();
    await rm(this.folder, { recursive: true });
  }

  async publish(...events) {
    const answer = await fetch(`${this.url}/api/events`, {
      method: "POST",
      headers: { "X-Session-Token": TOKEN, "Content-Type": "application/json" },
      body: JSON.stringify(events),
    });
    return answer.json();
  }
}

/** A TCP relay: what goes through it dies when it is cut, as a network does. */
export class Cable {
  #ends = new Set();

  static async to(port) {
    const cable = new Cable();
    cable.server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      for (const [end, other] of [
        [near, far],
        [far, near],
      ]) {
        cable.#ends.add(end);
        end.pipe(other);
        end.on("error", () => other.destroy());
        end.on("close", () => cable.#ends.delete(end) && other.destroy());
      }
    });
    cable.port = await listening(cable.server);
    return cable;
  }

  cut() {
    for (const end of this.#ends) end.resetAndDestroy();
  }

  end() {
    this.cut();
    this.server.close();
  }
}
