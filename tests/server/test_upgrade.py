"""What the gateway does with a handshake is what uvicorn and the websockets library would do."""

import asyncio
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings, strategies as st
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from app.errors import CloseCode
from app.server.strict import StrictHTTPProtocol, is_usual_handshake
from app.server.websocket import SightlineWebSocketProtocol
from app.ws.outlet import TRANSPORT
from tests.kit.examples import up_to
from tests.kit.frames import closed_with
from tests.kit.transport import FakeTransport

USUAL = {
    b"host": b"127.0.0.1:3000",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"sec-websocket-version": b"13",
}
TARGETS = (b"/ws", b"/ws?types=a.*", b"/ws?a?b#c", b"/%77s?%C3%A4", b"/ws#x", b"/a%2Fb", b"//ws/")
ADDED = st.dictionaries(
    st.sampled_from((b"origin", b"cookie", b"sec-websocket-protocol", b"sec-websocket-extensions")),
    st.sampled_from((b"events.v1", b"events.v1, token.x", b"a,b", b"\xe4", b"", b"x;y")),
)
FOLLOWS = b"\x81\x80abcd"  # an empty text frame


def served(app: Any, ws: type[asyncio.Protocol], head: bytes) -> tuple[FakeTransport, ServerState]:
    """An application that has got a handshake."""
    config = uvicorn.Config(
        app, ws=ws, log_config=None, ws_per_message_deflate=False, root_path="/below"
    )
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    http = StrictHTTPProtocol(config, state, {"kept": 1})
    transport = FakeTransport()
    transport.set_protocol(http)
    http.connection_made(transport)
    http.data_received(head)
    return transport, state


async def upgraded(ws: type[asyncio.Protocol], head: bytes) -> tuple[dict[str, Any], bytes, Any]:
    """The scope, the answer and the first message after a handshake."""
    scopes: list[dict[str, Any]] = []
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(dict(scope))
        assert (await receive())["type"] == "websocket.connect"
        subprotocol = next(iter(scope["subprotocols"]), None)
        accept = {"type": "websocket.accept", "subprotocol": subprotocol, "headers": [(b"x", b"y")]}
        await send(accept)
        received.append(await receive())

    transport, state = served(app, ws, head)
    transport.protocol.data_received(FOLLOWS)
    await asyncio.gather(*state.tasks)
    await asyncio.sleep(0)  # the turn after which the answer is written
    (scope,) = scopes
    transport.protocol.stop_keepalive()
    return scope, b"".join(transport.writes), received


@pytest.mark.parametrize("first", [b"", b"\x81\x00"], ids=["nothing", "a frame"])
async def test_the_answer_is_written_with_the_first_frames_or_at_the_end_of_the_turn(
    first: bytes,
) -> None:
    accepted = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        if first:
            scope["extensions"][TRANSPORT].write(first)
        accepted.set()
        await receive()
        await receive()

    lines = [b"%s: %s\r\n" % pair for pair in USUAL.items()]
    head = b"".join([b"GET /ws HTTP/1.1\r\n", *lines, b"\r\n"])
    transport, state = served(app, SightlineWebSocketProtocol, head)
    await accepted.wait()
    (written,) = transport.writes
    answer, end, behind = written.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert (end, behind) == (b"\r\n\r\n", first)
    transport.protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)


@pytest.mark.parametrize("answer", ["websocket.accept", "websocket.http.response.start"])
async def test_a_handshake_amid_a_shutdown_gets_the_answer_of_the_application(answer: str) -> None:
    """uvicorn would say 500."""
    shut_down = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await shut_down.wait()
        await send({"type": answer, "status": 503, "headers": []})
        if answer != "websocket.accept":
            await send({"type": "websocket.http.response.body", "body": b"later"})

    lines = [b"%s: %s\r\n" % pair for pair in USUAL.items()]
    head = b"".join([b"GET /ws HTTP/1.1\r\n", *lines, b"\r\n"])
    transport, state = served(app, SightlineWebSocketProtocol, head)
    transport.protocol.shutdown()
    assert not transport.writes
    shut_down.set()
    await asyncio.gather(*state.tasks)
    head, _, behind = b"".join(transport.writes).partition(b"\r\n\r\n")
    if answer == "websocket.accept":
        assert head.startswith(b"HTTP/1.1 101 ")
        assert closed_with(behind) == CloseCode.RESTART
    else:
        assert head.startswith(b"HTTP/1.1 503 ")
        assert behind == b"later"
    transport.protocol.connection_lost(None)


@settings(max_examples=up_to(100))
@given(ADDED, st.sampled_from(TARGETS))
async def test_a_handshake_that_was_read_once_is_answered_as_if_it_were_read_again(
    added: dict[bytes, bytes], target: bytes
) -> None:
    headers = {**USUAL, **added}
    lines = [b"%s: %s\r\n" % pair for pair in headers.items()]
    head = b"".join([b"GET %s HTTP/1.1\r\n" % target, *lines, b"\r\n"])
    if not is_usual_handshake(b"GET", target, b"1.1", [*headers.items()]):
        return
    scope, answer, received = await upgraded(SightlineWebSocketProtocol, head)
    assert scope["extensions"].pop(TRANSPORT)
    assert received == [{"type": "websocket.receive", "text": ""}]
    assert (scope, answer, received) == await upgraded(WebSocketsSansIOProtocol, head)
    assert scope["state"] == {"kept": 1}
