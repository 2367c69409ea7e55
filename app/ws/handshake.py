"""`HandshakeFault`: why an upgrade was no WebSocket handshake, from the server to the route that says so."""

from collections.abc import Mapping
from typing import cast

import msgspec

HANDSHAKE_FAULT = "sightline.handshake_fault"  # scope extension, where the server looked


class HandshakeFault(msgspec.Struct):
    """What to answer a request of the WebSocket path that is not an upgrade."""

    message: str = "this is a WebSocket: connect with an upgrade"
    status: int = 426  # or 400


def fault_of(extensions: Mapping[str, object] | None) -> HandshakeFault:
    """What the server found; by default, a plain request."""
    return cast(HandshakeFault, (extensions or {}).get(HANDSHAKE_FAULT, HandshakeFault()))
