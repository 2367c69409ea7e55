"""`deploy/nats*.conf` on real servers: what a gateway, a foreign publisher and nobody can do."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from tests.cluster.conftest import ROOT, Fleet, admitted, settle, sightline_token
from tests.kit.processes import free_ports
from tests.kit.waiting import WATCHDOG_S
from tests.nats_server import NatsServer

DEPLOY = ROOT / "deploy"
PASSWORDS = {
    "gateway": "g/w@y:100%41",
    "publisher": "p0123456789",
    "tokens": "t0123456789",
    "operator": "o0123456789",
}
INBOXES = {"publisher": "_INBOX_publisher", "tokens": "_INBOX_tokens"}
API = "$JS.API"
BUCKET, VALUE = "KV_sightline_tokens", "$KV.sightline_tokens.tokens"
EVENT = {"timestamp": "2026-11-22T21:00:00.123Z", "data": {"n": 1}, "metadata": {}}
BODY = json.dumps(EVENT).encode()
SUBJECT = "sightline.events.deploy.finished"
CONFIG = json.dumps({"name": "sightline", "subjects": ["sightline.events.*.*"]}).encode()
CONSUMER = {"deliver_subject": "_INBOX_publisher.x", "deliver_policy": "all", "ack_policy": "none"}
WATCH = json.dumps({"stream_name": "sightline", "config": CONSUMER}).encode()


class Servers:
    """Servers of a file in `deploy/`, each with its own names in the environment."""

    def __init__(self, folder: Path, certificate: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch
        self.tls = ssl.create_default_context(cafile=str(certificate / "fullchain.pem"))
        self.started: list[NatsServer] = []
        self.give(
            CERTIFICATE=str(certificate / "fullchain.pem"),
            KEY=str(certificate / "privkey.pem"),
            AUTHORITY=str(certificate / "fullchain.pem"),
            # Quoted: NATS reads the variable like a value in the file.
            **{f"{user.upper()}_PASSWORD": f'"{word}"' for user, word in PASSWORDS.items()},
        )

    def give(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(f"NATS_{name}", value)

    def start(self, name: str, number: int = 1) -> NatsServer:
        (port,) = free_ports(1)
        self.give(
            LISTEN=f"127.0.0.1:{port}",
            NAME=f"n{number}",
            STORE=str(self.folder / f"store{number}"),
        )
        server = NatsServer(None, port, "--config", str(DEPLOY / name))
        self.started.append(server)
        return server.ready()

    def address(self, user: str) -> str:
        """Where the user connects, for a URL: all characters of the password encoded."""
        who = f"{user}:{quote(PASSWORDS[user], safe='')}"
        return ",".join(f"tls://{who}@localhost:{server.port}" for server in self.started)

    @asynccontextmanager
    async def client(self, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
        """A client of the user, and the errors that it was sent."""
        errors: list[str] = []

        async def on_error(error: Exception) -> None:
            errors.append(str(error))

        client = await nats.connect(
            f"tls://localhost:{self.started[0].port}",
            user=user,
            password=PASSWORDS[user],
            tls=self.tls,
            allow_reconnect=False,
            error_cb=on_error,
            inbox_prefix=INBOXES.get(user, "_INBOX").encode(),
        )
        try:
            yield client, errors
        finally:
            await client.close()


@pytest.fixture
def servers(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch, fleet: Fleet
) -> Servers:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "fullchain.pem"))  # for the gateways
    servers = Servers(tmp_path, certificate, monkeypatch)
    fleet.servers = servers.started
    return servers


async def refused(
    client: Client, errors: list[str], attempt: Callable[[], Awaitable[object]]
) -> bool:
    """Whether the server refuses what the attempt sends."""
    before = len(errors)
    with suppress(NatsError, TimeoutError):
        await attempt()
    for _ in range(2):  # the client reports an error in a task of its own
        await client.flush()
    return any("permissions violation" in error.lower() for error in errors[before:])


def request(client: Client, subject: str, body: bytes = b"") -> Callable[[], Awaitable[object]]:
    return lambda: client.request(subject, body, timeout=0.3)


def read(client: Client, subject: str) -> Callable[[], Awaitable[object]]:
    return lambda: client.subscribe(subject)


async def test_gateways_and_a_foreign_publisher_work_with_their_permissions_over_tls(
    fleet: Fleet, servers: Servers
) -> None:
    servers.start("nats-tls.conf")
    first, second = await fleet.start(2, servers.address("gateway"), EXTRA_NAMESPACES="load,deploy")
    clients = await fleet.follow([first, second], 4)
    load = fleet.publish([first, second])
    await load.reaches(60)
    await first.restart()
    await load.reaches(60)
    await settle(load, clients)
    assert all(not client.gaps for client in clients)
    async with (
        first.socket("?types=deploy.*") as socket,
        servers.client("publisher") as (publisher, errors),
        asyncio.timeout(WATCHDOG_S),
    ):
        await socket.recv()
        answer = json.loads((await publisher.request(SUBJECT, BODY, timeout=WATCHDOG_S)).data)
        event = json.loads(await socket.recv())
    assert (event["type"], event["sequence_number"]) == ("deploy.finished", answer["seq"])
    assert errors == []
    for gateway in (first, second):
        assert "ermissions" not in gateway.log()
        assert PASSWORDS["gateway"] not in gateway.log()


async def test_a_publisher_cannot_publish_elsewhere_read_the_stream_or_change_it(
    fleet: Fleet, servers: Servers
) -> None:
    servers.start("nats-tls.conf")
    (gateway,) = await fleet.start(1, servers.address("gateway"))
    async with gateway.http() as http:
        await http.post("/api/events", json={"type": "load.tick", "data": {"n": 1}})
    async with servers.client("publisher") as (client, errors):
        attempts = {
            "another subject": request(client, "sightline.events.chat.message_sent", BODY),
            "the stream": request(client, f"{API}.STREAM.INFO.sightline"),
            "a message": request(client, f"{API}.STREAM.MSG.GET.sightline", b'{"seq":1}'),
            "a message, directly": request(client, f"{API}.DIRECT.GET.sightline", b'{"seq":1}'),
            "a consumer": request(client, f"{API}.CONSUMER.CREATE.sightline", WATCH),
            "a change": request(client, f"{API}.STREAM.UPDATE.sightline", CONFIG),
            "a purge": request(client, f"{API}.STREAM.PURGE.sightline"),
            "the end": request(client, f"{API}.STREAM.DELETE.sightline"),
            "events": read(client, "sightline.events.>"),
            "answers to others": read(client, "_INBOX.>"),
            "everything": read(client, ">"),
        }
        passed = [
            what for what, attempt in attempts.items() if not await refused(client, errors, attempt)
        ]
        assert passed == []
        # The answer to a publish goes where the publisher says: it must not become a command.
        await client.publish(SUBJECT, BODY, reply=f"{API}.STREAM.PURGE.sightline")
        await client.request(SUBJECT, BODY, timeout=WATCHDOG_S)
    async with servers.client("operator") as (client, _):
        answer = await client.request(f"{API}.STREAM.INFO.sightline", timeout=WATCHDOG_S)
    state = json.loads(answer.data)["state"]
    assert (state["first_seq"], state["last_seq"], state["messages"]) == (1, 3, 3)


async def test_a_gateway_cannot_change_or_delete_the_stream_and_nobody_gets_in_without_a_user(
    fleet: Fleet, servers: Servers
) -> None:
    server = servers.start("nats-tls.conf")
    await fleet.start(1, servers.address("gateway"))
    async with servers.client("gateway") as (client, errors):
        for operation, body in (("UPDATE", CONFIG), ("PURGE", b""), ("DELETE", b"")):
            attempt = request(client, f"{API}.STREAM.{operation}.sightline", body)
            assert await refused(client, errors, attempt), operation
        assert await refused(client, errors, read(client, "sightline.events.>"))
        for subject in ("$JS.FC.sightline.consumer.1", f"{API}.STREAM.MSG.GET.sightline"):
            assert not await refused(client, errors, request(client, subject, b'{"seq":1}'))
    for words in ({}, {"user": "gateway", "password": "wrong"}):
        with pytest.raises(NatsError):
            await nats.connect(
                f"tls://localhost:{server.port}",
                tls=servers.tls,
                allow_reconnect=False,
                max_reconnect_attempts=0,
                error_cb=ignore,
                **words,
            )


async def test_the_tokens_user_writes_the_bucket_gateways_only_read_it_and_others_neither(
    fleet: Fleet, servers: Servers
) -> None:
    servers.start("nats-tls.conf")
    (gateway,) = await fleet.start(1, servers.address("gateway"), TOKENS="nats")
    made = sightline_token(servers.address("tokens"), "create", "--name", "dash", "--scope", "read")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    await admitted([gateway], secret)
    newest = json.dumps({"last_by_subj": VALUE}).encode()
    read_it = f"{API}.STREAM.MSG.GET.{BUCKET}"
    async with servers.client("gateway") as (client, errors):
        assert not await refused(client, errors, request(client, read_it, newest))
        for subject in (
            VALUE,
            "$KV.sightline_tokens.other",
            f"{API}.STREAM.CREATE.{BUCKET}",
            f"{API}.STREAM.UPDATE.{BUCKET}",
            f"{API}.STREAM.PURGE.{BUCKET}",
            f"{API}.STREAM.DELETE.{BUCKET}",
            f"{API}.STREAM.MSG.DELETE.{BUCKET}",
        ):
            assert await refused(client, errors, request(client, subject)), subject
    async with servers.client("publisher") as (client, errors):
        for subject in (VALUE, read_it, f"{API}.CONSUMER.CREATE.{BUCKET}"):
            assert await refused(client, errors, request(client, subject, newest)), subject
    async with servers.client("tokens") as (client, errors):
        for subject in (
            SUBJECT,
            f"{API}.STREAM.MSG.GET.sightline",
            f"{API}.CONSUMER.CREATE.sightline",
            f"{API}.STREAM.PURGE.{BUCKET}",
            f"{API}.STREAM.DELETE.{BUCKET}",
        ):
            assert await refused(client, errors, request(client, subject)), subject
        assert await refused(client, errors, read(client, "_INBOX.>"))
    for address in (servers.address("gateway"), servers.address("publisher")):
        denied = sightline_token(address, "revoke", "dash")
        assert denied.returncode == 1
        assert "as the user `tokens` of deploy/nats.conf is" in " ".join(denied.stderr.split())
    listed = sightline_token(servers.address("tokens"), "list")
    assert listed.stdout == "dash  read:*  no end\n"
    assert "ermissions" not in gateway.log()


async def ignore(error: Exception) -> None:
    """Errors of a connection that is refused."""


async def test_three_servers_with_routes_over_tls_go_on_without_one(
    fleet: Fleet, servers: Servers
) -> None:
    ports = free_ports(3)
    servers.give(**{f"ROUTE_{n}": f"nats://localhost:{port}" for n, port in enumerate(ports, 1)})
    for number, port in enumerate(ports, 1):
        servers.give(ROUTE_LISTEN=f"127.0.0.1:{port}")
        servers.start("nats-cluster.conf", number)
    (gateway,) = await fleet.start(1, servers.address("gateway"), NATS_REPLICAS="3", TOKENS="nats")

    async def token(*words: str) -> str:
        """Run the command until NATS answers it: the bucket may be without a leader for a moment."""
        async with asyncio.timeout(WATCHDOG_S):
            while True:
                done = await asyncio.to_thread(
                    sightline_token, servers.address("tokens"), *words, replicas=3
                )
                if "NATS d" not in done.stderr:  # does not answer, did not confirm
                    assert done.returncode == 0, done.stderr
                    return done.stdout.strip()

    await admitted([gateway], await token("create", "--name", "dash", "--scope", "read"))
    clients = await fleet.follow([gateway], 2)
    load = fleet.publish([gateway], pause_s=0.05)
    await load.reaches(20)
    servers.started[0].kill()
    await load.reaches(20)
    await settle(load, clients)
    await admitted([gateway], await token("rotate", "dash"))
    assert all(not client.gaps for client in clients)
