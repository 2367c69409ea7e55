"""The quick look at a handshake lets nothing through that the websockets library would refuse."""

from unittest.mock import patch

from hypothesis import given, settings, strategies as st

from app.server import strict
from app.server.strict import handshake_fault, is_usual_handshake
from tests.kit.examples import up_to

USUAL = {
    b"host": b"127.0.0.1:3000",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
    b"sec-websocket-version": b"13",
}
VALUES = (b"", b"websocket", b"Upgrade", b"keep-alive, Upgrade", b"13", b"8", b"0", b"events.v1")
VALUES += (b"a, b", b"a,,b", b"a b", b"\xe4", b"x\x00", b"x\n", b"dGhlIHNhbXBsZSBub25jZQ==", b"?")
NAMES = (*USUAL, b"origin", b"sec-websocket-protocol", b"sec-websocket-extensions", b"x y", b"")
NAMES += (b"transfer-encoding", b"content-length", b"x-session-token", b"\xe4")
changes = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.binary(max_size=4)), max_size=3
)
targets = st.sampled_from((b"/ws", b"/ws?types=a.*", b"/ws?a=b c", b"/\xe4", b""))


def fault_of_the_library(*handshake: object) -> object:
    with patch.object(strict, "is_usual_handshake", lambda *parts: False):
        return handshake_fault(*handshake)  # type: ignore[arg-type]


def test_a_handshake_of_a_browser_is_usual() -> None:
    for added in (
        {},
        {b"connection": b"keep-alive, Upgrade"},
        {b"sec-websocket-protocol": b"a, b"},
    ):
        headers = list({**USUAL, **added}.items())
        assert is_usual_handshake(b"GET", b"/ws?types=a.*", b"1.1", headers)
        assert fault_of_the_library(b"GET", b"/ws?types=a.*", b"1.1", headers) is None


@settings(max_examples=up_to(300))
@given(changes, st.booleans(), targets, st.sampled_from((b"GET", b"POST")))
def test_what_is_usual_is_valid(
    changed: list[tuple[bytes, bytes]], add: bool, target: bytes, method: bytes
) -> None:
    headers = [*USUAL.items(), *changed] if add else list({**USUAL, **dict(changed)}.items())
    if is_usual_handshake(method, target, b"1.1", headers):
        assert fault_of_the_library(method, target, b"1.1", headers) is None
