"""`litestar run` with the gateway's own port, WebSocket and logging options."""

import asyncio
import copy
import errno
import resource
import signal
import socket
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import click
import structlog
import uvicorn
from litestar import Litestar
from litestar.cli._utils import LitestarEnv, create_ssl_files, validate_ssl_file_paths
from litestar.cli.commands.core import _server_lifespan, run_command
from litestar.plugins import CLIPlugin
from uvicorn.config import WSProtocolType

from app.log import uvicorn_log_config
from app.settings import Settings
from app.state import URL_FILE, read_private, write_private
from app.ws.uvicorn_http import http_protocol, most_connections
from app.ws.uvicorn_protocol import SightlineWebSocketProtocol, fall_back_if_misfit

DEFAULT_PORT = 3000
BACKLOG = 2048  # handshakes that the kernel keeps for us
ACCEPTS_PER_TURN = 16  # of them in one turn of the loop: a storm must not hold up the clients
DESCRIPTORS = 8192  # to ask for: many systems grant more than they give unasked
_log = structlog.get_logger("sightline.cli")


class SightlineCLI(CLIPlugin):
    """Replaces the `run` command; all its parameters stay, the port defaults to 3000."""

    __slots__ = ("_settings",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on_cli_init(self, cli: click.Group) -> None:
        settings = self._settings

        def run(  # `env` is injected by the group
            *,
            env: LitestarEnv,
            reload: bool,
            reload_dir: tuple[str, ...],
            reload_include: tuple[str, ...],
            reload_exclude: tuple[str, ...],
            port: int,
            wc: int,
            host: str,
            fd: int | None,
            uds: str | None,
            debug: bool,
            pdb: bool,
            ssl_certfile: str | None,
            ssl_keyfile: str | None,
            create_self_signed_cert: bool,
        ) -> None:
            if wc > 1:
                _refuse("several workers", "run one worker: leave out --wc and WEB_CONCURRENCY")
            if reload or reload_dir or reload_include or reload_exclude:
                _refuse("--reload", "leave it out and start the gateway again by hand")
            env.app.debug = env.app.debug or debug
            env.app.pdb_on_exception = env.app.pdb_on_exception or pdb
            certificate, key = (
                create_ssl_files(ssl_certfile, ssl_keyfile, host)
                if create_self_signed_cert
                else validate_ssl_file_paths(ssl_certfile, ssl_keyfile)
            )
            serve(env.app, settings, host, port, fd=fd, uds=uds, certificate=certificate, key=key)

        command = copy.copy(run_command)
        command.callback = run
        command.params = [copy.copy(parameter) for parameter in run_command.params]
        for parameter in command.params:
            if parameter.name == "port":
                parameter.default = DEFAULT_PORT
        cli.add_command(command, "run")


class _Server(uvicorn.Server):
    """Says where it listens and how to log in; drains at the signal."""

    def __init__(self, config: uvicorn.Config, app: Litestar, settings: Settings) -> None:
        super().__init__(config)
        self._app = app
        self._settings = settings
        self._url_file = settings.state_dir / URL_FILE
        self._url: str | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn runs the lifespan's end only once all connections are gone
        self._app.state.begin_drain()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not sockets or not self.started:
            return
        for listener in sockets:
            listener.listen(BACKLOG)  # asyncio takes one number for this and for accepts a turn
        self._log_started_message(sockets)  # uvicorn does not when it is handed sockets
        self._url = url = url_of(sockets, "https" if self.config.is_ssl else "http")
        write_private(self._url_file, url)
        if self.config.is_ssl and url not in self._settings.allowed_origins:
            _log.warning("origin_not_allowed", origin=url, setting="SIGHTLINE_ALLOWED_ORIGINS")
        # To the terminal and never through logging: a secret does not go into a log.
        ticket = self._app.state.keyring.tickets.issue()
        with suppress(OSError):  # a full disk: `litestar login` makes another
            print(f"Log in within five minutes: {url}/login#{ticket}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._url is not None and read_private(self._url_file) == self._url:
            self._url_file.unlink(missing_ok=True)
        await super().shutdown(sockets)


def uvicorn_config(
    app: Litestar,
    settings: Settings,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    fd: int | None = None,
    uds: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
    ws: type[asyncio.Protocol] | WSProtocolType = SightlineWebSocketProtocol,
) -> uvicorn.Config:
    """How the gateway wants to be served, whoever starts it; `ws` is another only in tests."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        fd=fd,
        uds=uds,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ws=ws,
        http=http_protocol(most_connections(settings.max_clients), app.state.counters),
        ws_ping_interval=settings.heartbeat_interval_s,
        ws_ping_timeout=settings.pong_timeout_s,
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,
        backlog=BACKLOG if fd is not None or uds is not None else ACCEPTS_PER_TURN,
        timeout_graceful_shutdown=3,
        proxy_headers=False,
        server_header=False,
        log_config=uvicorn_log_config(settings),
        access_log=False,
    )


def serve(
    app: Litestar,
    settings: Settings,
    host: str,
    port: int,
    *,
    fd: int | None = None,
    uds: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; both end it with status 0 and no traceback."""
    sockets = bind(host, port) if fd is None and uds is None else None
    more_descriptors()
    config = uvicorn_config(
        app, settings, host, port, fd=fd, uds=uds, certificate=certificate, key=key
    )
    config.load()
    fall_back_if_misfit(config)
    # uvicorn raises the signal again once it has shut down: end quietly, after the lifespans.
    previous = signal.signal(signal.SIGTERM, _exit)
    try:
        with _server_lifespan(app):
            _Server(config, app, settings).run(sockets)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
        for listener in sockets or ():
            listener.close()


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


def _refuse(what: str, remedy: str) -> NoReturn:
    raise click.ClickException(
        f"{what} cannot be used: the in-memory backend needs exactly one process,"
        f" several workers would split the events among them; {remedy}"
    )


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
