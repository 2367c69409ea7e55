"""The sockets that the gateway listens on, and how many it may hold."""

import errno
import resource
import socket
from typing import NoReturn

import click

BACKLOG = 2048  # handshakes that the kernel keeps for us
DESCRIPTORS = 8192  # to ask for: many systems grant more than they give unasked


def more_descriptors() -> None:
    """Raise the soft limit of open files, where the hard one allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bind(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host`, or say in one line why that cannot be."""
    if not 0 <= port <= 65535:  # the resolver would wrap it around
        _fail(f"port {port} does not exist; choose one from 1 to 65535")
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    try:
        addresses = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        _fail(f"cannot listen on {host!r}, port {port}: {error}")
    for family, kind, protocol, _, address in dict.fromkeys(addresses):
        if port == 0 and sockets:  # one port for all addresses
            address = (address[0], sockets[0].getsockname()[1], *address[2:])
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)  # only now is the port surely ours
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRNOTAVAIL:
                failure = error
                continue
            for other in sockets:
                other.close()
            _fail(_why(error, host, port))
        sockets.append(listener)
    if not sockets:
        _fail(_why(failure or OSError("no address"), host, port))
    return sockets


def url_of(sockets: list[socket.socket], scheme: str) -> str:
    """Where a browser on this machine finds the gateway: on the loopback where it listens there."""
    names = [listener.getsockname()[:2] for listener in sockets]
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    addresses = [local.get(address, address) for address, _ in names]
    address = next((a for a in ("127.0.0.1", "::1") if a in addresses), addresses[0])
    return f"{scheme}://{f'[{address}]' if ':' in address else address}:{names[0][1]}"


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return (
            f"port {port} on {host} is taken; choose another with"
            f" `make run PORT={other}` or `litestar run --port {other}`"
        )
    return f"cannot listen on {host!r}, port {port}: {error}"


def _fail(message: str) -> NoReturn:
    """One line as it is: a `ClickException` would be wrapped into a box."""
    click.echo(f"sightline: {message}", err=True)
    raise SystemExit(1)
