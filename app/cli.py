"""`litestar run` with the gateway's own port, WebSocket and logging options."""

import asyncio
import copy
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import structlog
import uvicorn
from litestar import Litestar
from litestar.cli._utils import LitestarEnv, create_ssl_files, validate_ssl_file_paths
from litestar.cli.commands.core import _server_lifespan, run_command
from uvicorn.config import LOGGING_CONFIG, WSProtocolType

from app.log import uvicorn_log_config
from app.plugin import SightlinePlugin, plugin_of
from app.settings import Settings
from app.sockets import BACKLOG, bind, more_descriptors, url_of
from app.state import URL_FILE, read_private, write_private
from app.ws.uvicorn_http import http_protocol, most_connections
from app.ws.uvicorn_protocol import SightlineWebSocketProtocol, fall_back_if_misfit

DEFAULT_PORT = 3000
ACCEPTS_PER_TURN = (
    16  # of the waiting handshakes in one turn of the loop: a storm must not hold up the clients
)
_log = structlog.get_logger("sightline.cli")


def replace_run(cli: click.Group, plugin: SightlinePlugin) -> None:
    """Replace the `run` command; all its parameters stay.

    The gateway alone has a port of its own; an application that it was added to keeps its default.
    """

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
        serve(
            env.app, plugin.settings, host, port, fd=fd, uds=uds, certificate=certificate, key=key
        )

    command = copy.copy(run_command)
    command.callback = run
    command.params = [copy.copy(parameter) for parameter in run_command.params]
    for parameter in command.params:
        if parameter.name == "port" and plugin.alone:
            parameter.default = DEFAULT_PORT
    cli.add_command(command, "run")


class _Server(uvicorn.Server):
    """Says where it listens and how to log in; drains at the signal."""

    def __init__(self, config: uvicorn.Config, app: Litestar, settings: Settings) -> None:
        super().__init__(config)
        self._plugin = plugin_of(app)
        self._settings = settings
        self._url_file = settings.state_dir / URL_FILE
        self._url: str | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn runs the lifespan's end only once all connections are gone
        self._plugin.gateway.begin_drain()
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
        if not self._plugin.gateway.console:
            return
        # To a terminal alone: what is redirected ends in a file, a journal or a container's log.
        if sys.stdout.isatty():
            ticket = self._plugin.keyring.tickets.issue()
            line = f"Log in within five minutes: {url}/login#{ticket}"
        else:
            line = f"Serving {url}: to log a browser in, run `litestar login` in {Path.cwd()}"
        with suppress(OSError):  # a full disk: `litestar login` makes another
            print(line, flush=True)

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
    plugin = plugin_of(app)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        fd=fd,
        uds=uds,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ws=ws,
        http=http_protocol(most_connections(settings.max_clients), plugin.gateway.counters),
        ws_ping_interval=settings.heartbeat_interval_s,
        ws_ping_timeout=settings.pong_timeout_s,
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,
        backlog=BACKLOG if fd is not None or uds is not None else ACCEPTS_PER_TURN,
        timeout_graceful_shutdown=3,
        proxy_headers=False,
        server_header=False,
        # An application with the gateway in it has uvicorn's lines as the stock command shows them.
        log_config=uvicorn_log_config(settings) if plugin.alone else LOGGING_CONFIG,
        access_log=not plugin.alone,
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


def _refuse(what: str, remedy: str) -> NoReturn:
    raise click.ClickException(
        f"{what} cannot be used: a gateway is exactly one process, several workers would split"
        f" its events and places among them (several gateways: docs/scaling.md); {remedy}"
    )


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
