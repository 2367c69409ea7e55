"""The end of listening."""

import socket

from app.server.sockets import accept_waiting


async def test_a_flood_of_connections_does_not_prevent_the_end() -> None:
    """Nobody accepts here, so a connection waits as long as this runs, as in a flood."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        await accept_waiting([listener])
