"""`serve`: run the gateway by uvicorn, with its own sockets, protocols, signals and logging."""

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import cast

import click
import structlog
import uvicorn
from litestar import Litestar
from uvicorn.config import LOGGING_CONFIG, STARTUP_FAILURE, WSProtocolType

from ..errors import SettingsError
from ..log import uvicorn_log_config
from ..mounting import in_one_line
from ..plugin import plugin_of
from ..settings import Settings
from ..sources import check_workspace
from ..state import TOKEN_FILE, write_private
from ..state.lock import FolderLock
from .http import http_protocol, most_connections
from .sockets import BACKLOG, bind, bind_unix, more_descriptors, open_to_others, url_of
from .tls import GatewayConfig
from .websocket import SightlineWebSocketProtocol, fall_back_if_misfit

DEFAULT_PORT = 3000
# Connections taken in one turn of the loop: a storm of them must not hold up the clients.
ACCEPTS_PER_TURN = 2
LONGEST_END_S = 10.0  # a further Ctrl-C then waits for nothing
TICKS_A_SECOND = 10  # of uvicorn's main loop
FEW_WAITING = 64  # connections beside the clients' that any use of the gateway needs
_log = structlog.get_logger("sightline.server")


class Server(uvicorn.Server):
    """Says where it listens and how to log in."""

    def __init__(self, config: GatewayConfig, app: Litestar, settings: Settings) -> None:
        super().__init__(config)
        self._plugin = plugin_of(app)
        self._settings = settings
        self._asked_at = 0.0  # when a signal asked for the end

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals from here to the end of the process, however often Ctrl-C is pressed.

        uvicorn gives them back and raises them again, and a second one makes it drop the lifespan.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; whoever insists when that takes too long ends the process at once."""
        now = time.monotonic()
        if not self.should_exit:
            self.should_exit, self._asked_at = True, now
        elif now - self._asked_at > LONGEST_END_S:
            os._exit(128 + sig)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what the start made stays: no collection need look at it again
        if not sockets or not self.started:
            return
        self.config.ssl = cast(
            GatewayConfig, self.config
        ).context  # uvicorn's line names the scheme by it
        for listener in sockets:
            listener.listen(BACKLOG)  # asyncio takes one number for this and for accepts a turn
        self._log_started_message(sockets)  # uvicorn does not when it is handed sockets
        if self.config.uds is not None:
            return  # no browser finds it
        url = url_of(sockets, "https" if self.config.is_ssl else "http")
        self._plugin.gateway.lock.announce(url)
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

    async def on_tick(self, counter: int) -> bool:
        """Look once a second whether the state folder is as it was left."""
        if counter % TICKS_A_SECOND == 0 and self._plugin.gateway.lock.keep():
            token = self._plugin.keyring.session_token.reveal()
            with suppress(OSError):  # said by the lock where it goes on
                write_private(self._settings.state_dir / TOKEN_FILE, token)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._plugin.gateway.lock.withdraw()
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
) -> GatewayConfig:
    """How the gateway wants to be served, whoever starts it; `ws` is another only in tests."""
    plugin = plugin_of(app)
    return GatewayConfig(
        app if plugin.alone else in_one_line(app),
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
        backlog=BACKLOG if fd is not None else ACCEPTS_PER_TURN,
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
    around: AbstractContextManager[object] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. Both end the process with status 0 and no traceback.

    `around` is entered while the server runs: what else a command line does at start and end.
    """
    try:
        check_workspace(settings.workspace)
        FolderLock(settings.state_dir).check()  # before the port, which is often the same one
    except SettingsError as error:
        click.echo(f"sightline: {error}", err=True)
        raise SystemExit(STARTUP_FAILURE) from None
    sockets = [bind_unix(uds)] if uds is not None else bind(host, port) if fd is None else None
    more_descriptors()
    warn(sockets or [], settings, encrypted=certificate is not None)
    config = uvicorn_config(
        app, settings, host, port, fd=fd, uds=uds, certificate=certificate, key=key
    )
    config.load()
    fall_back_if_misfit(config)
    signal.signal(signal.SIGTERM, _exit)  # until the server takes it
    try:
        with around or nullcontext():
            Server(config, app, settings).run(sockets)
    except KeyboardInterrupt:
        pass
    finally:
        # Python's own end would make a further Ctrl-C the end by a signal.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for listener in sockets or ():
            listener.close()
        if uds is not None:
            Path(uds).unlink(missing_ok=True)


def warn(sockets: list[socket.socket], settings: Settings, *, encrypted: bool) -> None:
    """Say at the start what is allowed and unwise."""
    if not encrypted and (addresses := open_to_others(sockets)):
        _log.warning(
            "not_encrypted",
            addresses=addresses,
            why="other machines reach the gateway, and token and events pass in clear text",
            remedy="use --ssl-certfile and --ssl-keyfile, or --host 127.0.0.1 behind a TLS proxy",
        )
    most, wanted = most_connections(settings.max_clients), settings.max_clients + FEW_WAITING
    if most < wanted:
        _log.warning(
            "few_file_descriptors",
            limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            connections=most,
            why=f"{settings.max_clients} clients, logins and requests need {wanted} at least",
            remedy="raise the limit of open files (ulimit -n, LimitNOFILE= in a systemd unit),"
            " or lower SIGHTLINE_MAX_CLIENTS",
        )


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
