"""What others can do to gateways through NATS, and what a start says when NATS is in the way."""

import asyncio
import json
import shutil
import ssl
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import nats
import pytest
from click.testing import CliRunner
from nats.errors import NoRespondersError

from app.channels.nats import (
    backend as module,
    client as nats_client,
    connection as nats_connection,
    remedies,
)
from app.channels.nats.stream import ApiError, RefusedError
from app.cli import main
from app.errors import SettingsError
from tests.contract.conftest import MakeRig
from tests.kit.gateway import Gateway, Start
from tests.kit.messages import receive
from tests.kit.processes import free_ports
from tests.kit.waiting import until
from tests.live.conftest import start as start  # the fixture
from tests.nats_server import NatsServer
from tests.redaction.secrets import forms, pieces

BODY = b'{"timestamp":"2026-11-22T21:00:00.123Z","data":{},"metadata":{}}'


async def publish_raw(url: str, *headers: bytes) -> None:
    """Publish a body under each of these header blocks, as only a client of one's own does."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    await reader.readline()
    writer.write(b'CONNECT {"verbose":false,"headers":true}\r\n')
    for header in headers:
        sizes = b"%d %d" % (len(header), len(header) + len(BODY))
        writer.write(b"HPUB sightline.events.plugin.up %b\r\n%b%b\r\n" % (sizes, header, BODY))
    writer.write(b"PING\r\n")
    while (line := await reader.readline()) != b"PONG\r\n":
        assert not line.startswith(b"-ERR"), line
    writer.close()


async def test_no_header_of_a_message_stops_or_misleads_a_gateway(
    nats_url: str, make_rig: MakeRig
) -> None:
    rig = await make_rig(nats_url)
    headers = (
        b"NATS/1.0\r\nStatus: 100\r\n\r\n",
        b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n",
        b"NATS/1.0 100 FlowControl\r\nNats-Consumer-Stalled: sightline.events.plugin.up\r\n\r\n",
        b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0",
        b"x",
    )
    await publish_raw(nats_url, *headers)
    await until(lambda: rig.bus.head == len(headers))
    assert await rig.publish(2) == [len(headers) + 1, len(headers) + 2]
    assert (rig.restarts, rig.states) == ([], [True])
    for number in range(1, len(headers) + 1):
        event = rig.bus.find(number)
        assert event is not None
        assert event.type == "plugin.up"


async def test_a_message_larger_than_events_may_be_is_no_event(
    nats_url: str, make_rig: MakeRig
) -> None:
    rig = await make_rig(nats_url, max_event_bytes=len('{"a":""}{}') + 100)
    for length in (100, 101, 5000):
        body = BODY.replace(b'"data":{}', b'"data":{"a":"%b"}' % (b"x" * length))
        address = urlsplit(nats_url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        await reader.readline()
        writer.write(b"CONNECT {}\r\nPUB sightline.events.plugin.up %d\r\n" % len(body))
        writer.write(body + b"\r\nPING\r\n")
        while await reader.readline() != b"PONG\r\n":
            pass
        writer.close()
    await until(lambda: rig.bus.head == 3)
    types = [event.type for n in (1, 2, 3) if (event := rig.bus.find(n)) is not None]
    assert types == ["plugin.up", "system.error", "system.error"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
async def test_an_untrusted_certificate_is_reported_with_the_remedy(
    tmp_path: Path, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_WAIT_S", 0.6)
    monkeypatch.setattr(nats_connection, "CLOSE_WAIT_S", 0.1)
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout k.pem -out c.pem"
    name = ("-addext", "subjectAltName=DNS:localhost")
    await asyncio.to_thread(
        subprocess.run, [*make.split(), *name], cwd=tmp_path, check=True, capture_output=True
    )
    files = f'cert_file: "{tmp_path}/c.pem", key_file: "{tmp_path}/k.pem"'
    (tmp_path / "nats.conf").write_text(
        f'tls {{ {files} }}\njetstream {{ store_dir: "{tmp_path}" }}'
    )
    server = NatsServer(None, None, "-c", str(tmp_path / "nats.conf")).ready()
    try:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(SettingsError, match=r"as its certificate does.*SSL_CERT_FILE") as e:
                await make_rig(f"tls://{host}:{server.port}")
            assert "-js" not in str(e.value)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
        rig = await make_rig(f"tls://localhost:{server.port}")
        assert await rig.publish(1) == [1]
    finally:
        server.kill()


async def test_tls_in_the_url_sends_nothing_in_the_clear(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_WAIT_S", 0.5)
    said: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"a","headers":true,"max_payload":1048576}\r\n')
        said.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SettingsError, match="offers no TLS at this address"):
            await make_rig(f"tls://secret@127.0.0.1:{port}")
    assert set(said) == {b""}


@pytest.mark.parametrize(
    ("trouble", "domain", "remedy"),
    [
        (NoRespondersError(), None, "start it with JetStream (`-js`)"),
        (NoRespondersError(), "hub", "correct SIGHTLINE_NATS_DOMAIN"),
        (ConnectionRefusedError(111, "refused"), None, "start it, or correct the address"),
        (ssl.SSLCertVerificationError(1, "expired"), None, "name the host"),
        (ConnectionError("x [[SSL: CERTIFICATE_VERIFY_FAILED] y]"), None, "name the host"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), None, "only with TLS"),
        (RuntimeError("nats: 'Authorization Violation'"), None, "user, password or token"),
        (RefusedError(ApiError(503, 10023, "insufficient resources")), None, "NATS_MAX_BYTES"),
        (None, None, "start it with JetStream"),
    ],
)
def test_the_remedy_follows_from_the_cause(
    trouble: BaseException | None, domain: str | None, remedy: str
) -> None:
    said = remedies.cannot_be_used(trouble, domain)
    assert remedy in said
    assert "\n" not in said


async def test_a_websocket_address_without_its_package_says_what_to_install(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_client, "find_spec", lambda name: None)
    with pytest.raises(
        SettingsError, match=r"ws:// needs aiohttp: pip install 'sightline-gateway\[nats-ws\]"
    ):
        await make_rig("ws://127.0.0.1:1")


async def test_kinds_of_addresses_are_not_mixed(make_rig: MakeRig) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(SettingsError, match="either ws:// and wss:// addresses or"):
        await make_rig("ws://127.0.0.1:1,nats://127.0.0.1:1")


async def test_events_go_over_a_websocket_to_nats(tmp_path: Path, make_rig: MakeRig) -> None:
    pytest.importorskip("aiohttp")
    (port,) = free_ports(1)
    (tmp_path / "nats.conf").write_text(
        f'websocket {{ host: "127.0.0.1", port: {port}, no_tls: true }}\n'
        f'jetstream {{ store_dir: "{tmp_path}" }}\n'
    )
    server = NatsServer(None, None, "-c", str(tmp_path / "nats.conf")).ready()
    try:
        rig = await make_rig(f"ws://127.0.0.1:{port}")
        assert await rig.publish(100) == [*range(1, 101)]
        await rig.backend.stop()
    finally:
        server.kill()


async def test_secrets_that_another_program_publishes_are_in_no_frame_page_file_or_log(
    nats_url: str,
    stream_name: str,
    start: Start,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    gateway: Gateway = await start(
        nats_url=nats_url, nats_stream=stream_name, journal="journal.db", workspace=None
    )
    found = forms(9)
    seen = b""
    async with gateway.connect() as client, gateway.http() as http:
        await receive(client)
        other = await nats.connect(nats_url)
        for form in found:
            plain, name = json.dumps(form.text), '"pass\\u0077ord" '
            hidden = "".join(f"\\u{ord(letter):04x}" for letter in form.text)
            data = f'{{"a":{plain},"b":["{hidden}"],{name}:"hunter2-{form.kind}"}}'
            body = BODY.replace(b'"data":{}', b'"data":' + data.encode())
            headers = {"Sightline-Redacted": "1"}  # no mark is a way around
            await other.publish("sightline.events.plugin.up", body, headers=headers)
        token = found[0].text
        await other.publish(f"sightline.events.plugin.{token}", BODY)
        await other.publish(f"sightline.events.plugin.{token.lower()}", BODY)
        await other.close()
        count = len(found) + 2
        while f'"sequence_number":{count},' not in (text := str(await client.recv())):
            seen += text.encode()
        seen += text.encode()
        assert (await http.get("/api/events?q=a&limit=1")).status_code == 200
        page = await http.get("/api/events?limit=1000")
        seen += page.content
    events = page.json()["events"]
    assert len(events) == count
    for form, event in zip(found, events, strict=False):
        data = {"a": form.redacted, "b": [form.redacted], "password": "[redacted:key]"}
        assert event["data"] == data
    assert [event["data"].get("code") for event in events[-2:]] == ["foreign_message"] * 2
    await gateway.stop()
    exported = tmp_path / "export.jsonl"
    environ = {"SIGHTLINE_JOURNAL": "journal.db", "SIGHTLINE_STATE_DIR": str(tmp_path / "state")}
    result = CliRunner(env=environ).invoke(main, ["journal", "export", str(exported)])
    assert result.exit_code == 0, result.output
    assert len(exported.read_text().splitlines()) == count
    seen += exported.read_bytes() + "".join(capfd.readouterr()).encode()
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            seen += file.read_bytes()
    assert b"hunter2" not in seen
    for form in found:
        for piece in pieces(form.secret):
            assert piece not in seen, form
