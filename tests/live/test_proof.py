"""The gateway proves that it is ours before it gets a secret: strangers and relays on its port."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sightline_client
import sightline_client.sync
from sightline_client import Address, find
from sightline_client.errors import EndedError, StrangerError, UnauthorizedError
from sightline_client.proof import prove

from app.auth import asking
from app.auth.asking import ask
from app.state import write_private
from tests.kit.gateway import Gateway, Start
from tests.kit.http import TOKEN
from tests.kit.processes import litestar, said_by

EVENT = ("chat.message_sent", {"role": "user", "content": "x"})


class Stranger:
    """Listens on a port of its own, records what it is sent, and answers as told."""

    def __init__(self, answer: bytes = b"", relay_to: int | None = None) -> None:
        self.heard = b""
        self._answer = answer
        self._relay_to = relay_to

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._relay_to is not None:
            there, on = await asyncio.open_connection("127.0.0.1", self._relay_to)
            await asyncio.gather(self._copy(reader, on), self._copy(there, writer))
            on.close()
        else:
            self.heard += await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer)
            writer.write_eof()
            self.heard += await reader.read()
        writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.heard += data
            writer.write(data)
        writer.write_eof()


@asynccontextmanager
async def listening(stranger: Stranger) -> AsyncIterator[str]:
    async with await asyncio.start_server(stranger.serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answer(body: bytes, head: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return head + b"\r\nContent-Type: application/json\r\n\r\n" + body


STRANGERS = {
    "silent": b"",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an older gateway": answer(b'{"type":"error"}', b"HTTP/1.1 404 Not Found"),
    "a guess": answer(json.dumps({"run": "r", "proof": "0" * 64}).encode()),
    "no text": answer(b'{"run":1,"proof":null}'),
    "odd text": answer(b'{"run":"\\ud800","proof":"\xc3\xa9"}'),
    "deep": answer(b"[" * 60_000),
    "a flood": answer(b"x" * 5_000_000),
}


@pytest.mark.parametrize("kind", STRANGERS)
async def test_a_stranger_on_the_gateways_port_gets_a_nonce_and_no_secret(
    kind: str, tmp_path: Path
) -> None:
    stranger = Stranger(STRANGERS[kind])
    async with listening(stranger) as url:
        for call in (
            lambda: ask(url, TOKEN, "/api/tickets"),
            lambda: prove(Address(url, TOKEN, kept=TOKEN)),
        ):
            with pytest.raises(
                (asking.StrangerError, StrangerError, OSError, sightline_client.SightlineError)
            ):
                await asyncio.to_thread(call)
    assert stranger.heard.count(b"POST /api/challenge") == 2
    assert stranger.heard.count(b"POST ") == 2
    assert TOKEN.encode() not in stranger.heard


async def test_who_relays_to_the_real_gateway_at_another_port_gets_no_secret_either(
    gateway: Gateway,
) -> None:
    stranger = Stranger(relay_to=gateway.port)
    async with listening(stranger) as url:
        with pytest.raises(asking.StrangerError, match="not the gateway of this folder"):
            await asyncio.to_thread(ask, url, TOKEN, "/api/tickets")
        with pytest.raises(StrangerError, match="not the gateway of this state folder"):
            await asyncio.to_thread(prove, Address(url, TOKEN, kept=TOKEN))
    assert stranger.heard.count(b'"proof"') == 2
    assert stranger.heard.count(b"POST ") == 2
    assert TOKEN.encode() not in stranger.heard


async def test_another_machine_is_not_even_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger()

    class Elsewhere:
        def getsockname(self) -> tuple[str, int]:
            return ("10.0.0.1", 5)

        def getpeername(self) -> tuple[str, int]:
            return ("10.0.0.2", 80)

        def __enter__(self) -> "Elsewhere":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    for module in ("app.auth.asking", "sightline_client.proof"):
        monkeypatch.setattr(f"{module}.socket.create_connection", lambda *_: Elsewhere())
    with pytest.raises(asking.StrangerError, match="not on this machine"):
        ask("http://far.example", TOKEN, "/api/tickets")
    with pytest.raises(StrangerError, match="not on this machine"):
        prove(Address("http://far.example", TOKEN, kept=TOKEN))
    assert stranger.heard == b""


async def test_the_real_gateway_is_believed_and_never_sees_the_token_itself(
    gateway: Gateway,
) -> None:
    stranger = Stranger()
    url = f"http://127.0.0.1:{gateway.port}"
    ticket = json.loads((await asyncio.to_thread(ask, url, TOKEN, "/api/tickets")).body)["ticket"]
    proven = await asyncio.to_thread(prove, Address(url, TOKEN, kept=TOKEN))
    assert TOKEN not in proven.headers["Authorization"]
    async with gateway.http(headers=proven.headers) as http:
        assert (await http.get("/api/session")).json()["authenticated_by"] == "token"
        assert (await http.post("/api/login", json={"ticket": ticket})).status_code == 204
    assert stranger.heard == b""


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{}", b"[1]", b'{"nonce":1}', b'{"nonce":"short"}', b'{"nonce":"' + b"x" * 129 + b'"}',
     b'{"nonce":"' + b"\\n" * 40 + b'"}', b'{"nonce":"\xff"}', b"[" * 4000],
)  # fmt: skip
async def test_a_challenge_without_a_nonce_is_refused(gateway: Gateway, body: bytes) -> None:
    async with gateway.http(headers={"Content-Type": "application/json"}) as http:
        refused = await http.post("/api/challenge", content=body)
    assert refused.status_code == 400
    assert set(refused.json()) == {"type", "code", "message"}


async def test_every_gateway_and_run_proves_something_else(start: Start, tmp_path: Path) -> None:
    one, two = await start(), await start(state_dir=tmp_path / "another")
    body = {"nonce": "n" * 32}
    shown = []
    for gateway in (one, two):
        async with gateway.http(headers={}) as http:
            for _ in range(2):
                shown.append((await http.post("/api/challenge", json=body)).json())
    assert shown[0] == shown[1]
    assert shown[0]["run"] != shown[2]["run"]
    assert shown[0]["proof"] != shown[2]["proof"]


@pytest.fixture
def folder(tmp_path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose state names the gateway, which is where the client runs."""
    for name in ("SIGHTLINE_URL", "SIGHTLINE_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIGHTLINE_STATE_DIR", str(gateway.settings.state_dir))
    write_private(gateway.settings.state_dir / "gateway.url", f"http://127.0.0.1:{gateway.port}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_clients_find_the_gateway_by_its_folder_and_stop_when_the_token_ends(
    gateway: Gateway, folder: Path
) -> None:
    async with sightline_client.connect() as stream, sightline_client.Publisher() as publisher:
        await publisher.publish(*EVENT)
        await asyncio.to_thread(sightline_client.sync.publish, *EVENT)
        assert [(await anext(stream)).sequence_number for _ in range(2)] == [1, 2]
        gateway.app.state.keyring.rotate()
        with pytest.raises(EndedError, match="4401"):
            await anext(stream)
        # the publisher looks in the folder again, where the new token stands
        assert (await publisher.publish(*EVENT)).sequence_number == 3
    async with sightline_client.Publisher(f"http://127.0.0.1:{gateway.port}", token=TOKEN) as old:
        with pytest.raises(UnauthorizedError):
            await old.publish(*EVENT)


async def test_a_publisher_goes_on_with_the_gateways_next_run_and_reveals_nothing_to_a_stranger(
    start: Start, gateway: Gateway, folder: Path
) -> None:
    url_file = gateway.settings.state_dir / "gateway.url"
    async with sightline_client.Publisher() as publisher:
        with sightline_client.sync.Publisher() as blocking:
            await publisher.publish(*EVENT)
            await asyncio.to_thread(blocking.publish, *EVENT)
            await gateway.stop()
            stranger = Stranger(answer(b"{}", b"HTTP/1.1 401 Unauthorized"))
            gateway.socket.close()
            async with await asyncio.start_server(stranger.serve, "127.0.0.1", gateway.port):
                for call in (
                    publisher.publish(*EVENT),
                    asyncio.to_thread(blocking.publish, *EVENT),
                ):
                    with pytest.raises(StrangerError):
                        await call
            assert TOKEN.encode() not in stranger.heard
            again = await start()
            write_private(url_file, f"http://127.0.0.1:{again.port}")
            assert (await asyncio.to_thread(prove, find())).token.encode() not in stranger.heard
            for name in stranger.heard.split(b"\r\n"):
                if name.lower().startswith(b"authorization: bearer "):
                    credential = name.split(b" ")[-1]
                    assert not again.app.state.keyring.is_token(
                        credential, f"127.0.0.1 {again.port}"
                    )
            assert (await publisher.publish(*EVENT)).sequence_number == 3


@pytest.mark.slow
async def test_litestar_login_reveals_nothing_to_a_stranger_and_token_rotate_ends_the_old_one(
    gateway: Gateway, folder: Path
) -> None:
    state = {"SIGHTLINE_STATE_DIR": str(gateway.settings.state_dir)}
    stranger = Stranger(answer(b'{"ticket":"x"}'))
    url_file = gateway.settings.state_dir / "gateway.url"
    ours = url_file.read_text().strip()
    async with listening(stranger) as url:
        write_private(url_file, url)
        out, err = await said_by(await litestar(folder, "login", **state))
    assert out == ""
    assert "no secret was sent to it" in " ".join(err.replace("│", " ").split())
    assert TOKEN.encode() not in stranger.heard
    write_private(url_file, ours)
    out, err = await said_by(await litestar(folder, "token", "--rotate", **state))
    token = out.strip()
    assert token == (gateway.settings.state_dir / "session.token").read_text().strip() != TOKEN
    assert "old token has ended" in err
    async with gateway.http() as old, gateway.http(headers={"X-Session-Token": token}) as new:
        assert (await old.get("/api/session")).status_code == 401
        assert (await new.get("/api/session")).status_code == 200
