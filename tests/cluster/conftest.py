"""Gateways as processes on a real NATS, clients that resume anywhere, and the sum that must be exact."""

import asyncio
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.kit.processes import free_ports
from tests.kit.waiting import WATCHDOG_S
from tests.nats_server import NatsServer

ROOT = Path(__file__).parents[2]
TOKEN = "cluster-test-token-0123456789"
HEADERS = {"X-Session-Token": TOKEN}
HOST = "events.example.org"  # where `deploy/` says that the gateways are


class Address:
    """Where clients connect and publish: one gateway, or a proxy before several."""

    def __init__(self, port: int, host: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.host = host or f"127.0.0.1:{port}"  # what clients think that they talk to
        self.tls = tls
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{port}"

    def http(self, **options: Any) -> httpx.AsyncClient:
        """A client that shows the token."""
        return httpx.AsyncClient(
            base_url=self.base,
            trust_env=False,
            headers={**HEADERS, "Host": self.host},
            verify=self.tls or False,
            **options,
        )

    def socket(self, query: str = "", **options: Any) -> connect:
        """A WebSocket that shows the token."""
        return connect(
            f"{'wss' if self.tls else 'ws'}://{self.host}/ws{query}",
            **{
                "host": "127.0.0.1",
                "port": self.port,
                "ssl": self.tls,
                "additional_headers": HEADERS,
                "proxy": None,
                **options,
            },
        )


class GatewayProcess(Address):
    """One `litestar run`."""

    def __init__(self, folder: Path, nats_url: str, **settings: str) -> None:
        super().__init__(free_ports(1)[0])
        self._folder = folder
        self._settings = {
            "SESSION_TOKEN": TOKEN,
            "NATS_URL": nats_url,
            "WORKSPACE": "",
            "MAX_CLIENTS": "100",
            "REPLAY_LIMIT": "5000",
            "QUEUE_SIZE": "5000",
            "EXTRA_NAMESPACES": "load",
            "LOG_FORMAT": "json",
            **settings,
        }

    async def start(self) -> "GatewayProcess":
        self._folder.mkdir(exist_ok=True)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("SIGHTLINE_")}
        environ |= {f"SIGHTLINE_{name}": value for name, value in self._settings.items()}
        with (self._folder / "gateway.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "litestar", "--app", "sightline:create_app", "run"),
                *("--port", str(self.port)),
                cwd=self._folder,
                env={**environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        return self

    async def ready(self) -> "GatewayProcess":
        async with asyncio.timeout(WATCHDOG_S), self.http() as http:
            while True:
                assert self.process.returncode is None, self.log()
                with suppress(httpx.HTTPError):
                    if (await http.get("/api/health")).status_code == 200:
                        return self
                await asyncio.sleep(0.05)

    def log(self) -> str:
        return (self._folder / "gateway.log").read_text()

    async def restart(self) -> None:
        """As a service manager does it: SIGTERM, its end, a new process on the same port."""
        self.process.terminate()
        assert await self.process.wait() in (0, -signal.SIGTERM), self.log()
        await self.start()
        await self.ready()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def session(self) -> dict[str, Any]:
        async with self.http() as http:
            return (await http.get("/api/session")).json()


def sightline_token(
    nats_url: str, *words: str, replicas: int = 1
) -> "subprocess.CompletedProcess[str]":
    """`sightline token …` for the tokens that gateways on NATS share."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SIGHTLINE_")}
    environ |= {"SIGHTLINE_TOKENS": "nats", "SIGHTLINE_NATS_URL": nats_url}
    environ["SIGHTLINE_NATS_REPLICAS"] = str(replicas)
    return subprocess.run(
        [str(Path(sys.executable).parent / "sightline"), "token", *words],
        env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


async def admitted(gateways: Sequence[Address], secret: str) -> None:
    """Wait until each gateway admits the token."""
    for gateway in gateways:
        async with asyncio.timeout(WATCHDOG_S), gateway.http() as http:
            headers = {"X-Session-Token": secret}
            while (  # noqa: ASYNC110
                await http.get("/api/session", headers=headers)
            ).status_code != 200:
                await asyncio.sleep(0.05)


class Client:
    """Follows everything, resumes at any gateway, and keeps all that it received, in order."""

    def __init__(self, gateways: Sequence[Address], name: str) -> None:
        self._gateways = gateways
        self._name = name
        self.epoch: str | None = None
        self.position = 0
        # Epoch, number, which publish; None for an event of the gateways, such as `system.audit`.
        self.delivered: list[tuple[str, int, int | None]] = []
        self.gaps: list[tuple[str, int | None, int | None, int | None]] = []
        self.left: list[str] = []  # epochs that an `epoch_changed` led out of
        self.notices: list[str] = []
        self.closes: list[int | None] = []
        self.gateway: Address | None = None
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.gateway = random.choice(self._gateways)
            try:
                await self._follow(self.gateway)
            except (OSError, TimeoutError, ConnectionClosed, InvalidHandshake):
                await asyncio.sleep(0.1)

    async def _follow(self, gateway: Address) -> None:
        query = f"?client_id={self._name}"
        if self.epoch is not None:
            query += f"&last_sequence_number={self.position}&epoch={self.epoch}"
        async with gateway.socket(query, max_queue=None, open_timeout=5) as socket:
            connected = json.loads(await socket.recv())
            if self.epoch is None:
                self.epoch, self.position = connected["epoch"], connected["sequence_number"]
            epoch = connected["epoch"]
            try:
                while True:
                    self._take(epoch, json.loads(await socket.recv()))
            finally:
                self.closes.append(socket.close_code)

    def _take(self, epoch: str, message: dict[str, Any]) -> None:
        if message["type"] == "notice":
            self.notices.append(message["code"])
        elif message["type"] == "gap":
            first, last = message["from_sequence_number"], message["to_sequence_number"]
            if message["reason"] == "epoch_changed":
                assert self.epoch is not None
                self.left.append(self.epoch)
                self.epoch, self.position = epoch, 0
            else:
                assert first > self.position
                self.gaps.append((epoch, first, last, message["dropped"]))
                self.position = last
        elif "." in message["type"]:
            number = message["sequence_number"]
            assert epoch == self.epoch
            assert number > self.position, "out of order or doubled"
            assert number == self.position + 1, "passed over without a gap"
            self.delivered.append((epoch, number, message["data"].get("n")))
            self.position = number

    def is_at(self, epoch: str, number: int) -> bool:
        if self.task.done():
            self.task.result()  # it found something wrong
        return self.epoch == epoch and self.position >= number

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Load:
    """Publishes one event after the other by HTTP, in several loops, and keeps every answer."""

    def __init__(self, gateways: Sequence[Address], loops: int = 4, pause_s: float = 0.01) -> None:
        self.acknowledged: dict[tuple[str, int], int] = {}  # (epoch, number) of which publish
        self.refused: list[str] = []
        self.unanswered = 0
        self._gateways = gateways
        self._pause_s = pause_s
        self._n = 0
        self._stopping = False
        self._tasks = [asyncio.create_task(self._run()) for _ in range(loops)]

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            clients: dict[Address, httpx.AsyncClient] = {}
            while not self._stopping:
                self._n += 1
                n, gateway = self._n, random.choice(self._gateways)
                if gateway not in clients:
                    clients[gateway] = await stack.enter_async_context(gateway.http(timeout=30))
                event = {"type": "load.tick", "data": {"n": n}}
                try:
                    answer = await clients[gateway].post("/api/events", json=event)
                except httpx.HTTPError:
                    self.unanswered += 1  # the gateway is gone: nobody knows
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == 502:  # a proxy says that its gateway is gone
                    self.unanswered += 1
                    continue
                said = answer.json()
                if answer.status_code == 201:
                    place = (said["epoch"], said["sequence_number"])
                    assert place not in self.acknowledged, "one number for two events"
                    self.acknowledged[place] = n
                else:
                    assert answer.status_code == 503, said
                    self.refused.append(said["message"])
                await asyncio.sleep(self._pause_s)

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def reaches(self, more: int, timeout_s: float = WATCHDOG_S) -> None:
        """Wait until that many more are acknowledged."""
        goal = len(self.acknowledged) + more

        def reached() -> bool:
            for task in self._tasks:
                if task.done():
                    task.result()  # it found something wrong
            return len(self.acknowledged) >= goal

        await holds(reached, timeout_s)


async def holds(condition: Callable[[], object], timeout_s: float = WATCHDOG_S) -> None:
    """Wait for what other processes bring about."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def settle(load: Load, clients: list[Client]) -> None:
    """End the load, let every client get to its end, then do the sum for each of them."""
    await load.stop()
    last = max(load.acknowledged)  # of the newest epoch: its name is the time it was made
    await holds(lambda: all(client.is_at(*last) for client in clients))
    for client in clients:
        await client.stop()
    order: dict[tuple[str, int], int | None] = {}
    for client in clients:
        for epoch, number, n in client.delivered:
            assert order.setdefault((epoch, number), n) == n, "two orders"
    for client in clients:
        delivered = [(epoch, number) for epoch, number, _ in client.delivered]
        assert len(delivered) == len(set(delivered)), "doubled"
        got = set(delivered)
        gapped = {
            (epoch, number)
            for epoch, number in load.acknowledged
            if (epoch, number) not in got
            and (
                epoch in client.left
                or any(e == epoch and a <= number <= b for e, a, b, _ in client.gaps)
            )
        }
        acknowledged = set(load.acknowledged)
        assert acknowledged - got - gapped == set(), "lost in silence"
        assert len(acknowledged) == len(acknowledged & got) + len(gapped)
        for place, n in load.acknowledged.items():
            assert order.get(place, n) == n
        for _, first, end, dropped in client.gaps:
            assert dropped is None or dropped <= end - first + 1


class Fleet:
    """What one test runs; all of it ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: list[NatsServer] = []
        self.gateways: list[GatewayProcess] = []
        self.clients: list[Client] = []
        self.load: Load | None = None

    def nats(self) -> NatsServer:
        server = NatsServer(self.folder / "nats").ready()
        self.servers.append(server)
        return server

    async def start(self, count: int, url: str, **settings: str) -> list[GatewayProcess]:
        new = [
            GatewayProcess(self.folder / f"g{len(self.gateways) + i}", url, **settings)
            for i in range(count)
        ]
        self.gateways += new
        for gateway in new:
            await gateway.start()
        for gateway in new:
            await gateway.ready()
        return new

    async def follow(self, gateways: Sequence[Address], count: int = 6) -> list[Client]:
        new = [Client(gateways, f"c{len(self.clients) + i}") for i in range(count)]
        self.clients += new
        await holds(lambda: all(client.epoch for client in new))
        return new

    def publish(self, gateways: Sequence[Address], **options: Any) -> Load:
        self.load = Load(gateways, **options)
        return self.load

    async def end(self) -> None:
        if self.load is not None:
            for task in self.load._tasks:
                task.cancel()
            await asyncio.gather(*self.load._tasks, return_exceptions=True)
        for client in self.clients:
            await client.stop()
        for gateway in self.gateways:
            with suppress(ProcessLookupError):
                gateway.thaw()
            await gateway.kill()
        for server in self.servers:
            if server.process.poll() is None:
                server.thaw()
            server.kill()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    await fleet.end()
    for gateway in fleet.gateways:
        assert "Traceback" not in gateway.log(), gateway.log()[-3000:]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A folder with a certificate that is its own authority, for HOST and this machine."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("no openssl")
    folder = tmp_path / "certificates"
    folder.mkdir()
    subject = ["-subj", f"/CN={HOST}"]
    names = f"subjectAltName=DNS:{HOST},DNS:localhost,IP:127.0.0.1"
    uses = "extendedKeyUsage=serverAuth,clientAuth"
    made = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject),
            *("-addext", names, "-addext", uses, *made),
        ],
        check=True,
        capture_output=True,
    )
    return folder


class Proxy:
    """Forwards TCP to one port; while cut, bytes go nowhere and both ends see nothing."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.mend()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._open.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()
