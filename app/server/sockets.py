"""The listening sockets of the gateway, and its limit of open files."""

import asyncio
import errno
import ipaddress
import os
import resource
import select
import socket
import stat
from collections.abc import Sequence
from typing import NoReturn, Protocol

import click

LONGEST_ACCEPT_S = 0.5  # of the connections that wait at a shutdown
TURNS_TO_CONNECT = 4  # of the loop, from the kernel's queue to the protocol
BACKLOG = 2048  # connections that the kernel queues
DESCRIPTORS = 8192  # wanted: the soft limit is often lower than the hard one

MAX_WAITING = 2048  # connections besides `max_clients`
RESERVED_DESCRIPTORS = 64  # for files, git, and connections accepted in one turn


class HasFileno(Protocol):
    """A socket, of whatever class."""

    def fileno(self) -> int:
        """Its descriptor."""


def more_descriptors() -> None:
    """Raise the soft limit of open files, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections(max_clients: int) -> int:
    """The number of connections to hold, within the limit of open files."""
    most = max_clients + MAX_WAITING
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors != resource.RLIM_INFINITY:
        reserved = min(RESERVED_DESCRIPTORS, descriptors // 2)
        most = min(most, descriptors - len(os.listdir("/dev/fd")) - reserved)
    return max(most, 1)


def bind(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host`, or exit with a one-line error."""
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
            listener.listen(BACKLOG)  # several may bind with SO_REUSEADDR, only one can listen
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


def bind_unix(path: str) -> socket.socket:
    """Listen on a socket file that only this user may connect to, or exit with a one-line error.

    An old socket file is replaced if no process listens on it.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode) and not _answers(path):
            os.unlink(path)
    except OSError:
        pass  # no such file, or `bind` reports the problem
    mask = os.umask(0o177)  # a later chmod would leave a moment without protection
    try:
        listener.bind(path)
    except OSError as error:
        listener.close()
        taken = "; another process listens there: choose another path"
        why = taken if error.errno == errno.EADDRINUSE else ""
        _fail(f"cannot listen on {path!r}: {error.strerror or error}{why}")
    finally:
        os.umask(mask)
    listener.listen(BACKLOG)
    return listener


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) != errno.ECONNREFUSED


def open_to_others(sockets: list[socket.socket]) -> list[str]:
    """The addresses that other machines can reach."""
    addresses = [
        listener.getsockname()[0] for listener in sockets if listener.family != socket.AF_UNIX
    ]
    return [address for address in addresses if not ipaddress.ip_address(address).is_loopback]


def url_of(sockets: list[socket.socket], scheme: str) -> str:
    """The URL for a browser on this machine, on the loopback address if possible."""
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
    """Exit with one line; Litestar would draw a box around a `ClickException`."""
    click.echo(f"sightline: {message}", err=True)
    raise SystemExit(1)


async def accept_waiting(listeners: Sequence[HasFileno]) -> None:
    """Return once the loop has accepted the connections that the kernel holds.

    A flood of new ones ends the wait after `LONGEST_ACCEPT_S`.
    """
    waiting, loop = select.poll(), asyncio.get_running_loop()
    for listener in listeners:
        waiting.register(listener.fileno(), select.POLLIN)
    turns_without, deadline = 0, loop.time() + LONGEST_ACCEPT_S
    while turns_without < TURNS_TO_CONNECT and loop.time() < deadline:
        turns_without = 0 if waiting.poll(0) else turns_without + 1
        await asyncio.sleep(0)
