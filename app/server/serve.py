"""`serve`: run the gateway on uvicorn, with its own sockets, protocols, signals and logging."""

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
from .http import http_protocol
from .internals import use_stock_if_incompatible
from .sockets import (
    BACKLOG,
    accept_waiting,
    bind,
    bind_unix,
    more_descriptors,
    most_connections,
    open_to_others,
    url_of,
)
from .tls import GatewayConfig
from .websocket import SightlineWebSocketProtocol

DEFAULT_PORT = 3000
# Connections accepted in one turn of the loop, so that a flood of them does not delay the clients.
ACCEPTS_PER_TURN = 2
LONGEST_END_S = 10.0  # of a shutdown; then another Ctrl-C ends the process at once
FULL_COLLECTION_EVERY = 50  # collections of the middle generation, instead of Python's 10
TICKS_A_SECOND = 10  # of uvicorn's main loop
FEW_WAITING = 64  # connections besides `max_clients` that a gateway needs at least
_log = structlog.get_logger("sightline.server")


class Server(uvicorn.Server):
    """Announces its address, prints how to log in, and owns the signals until the process ends."""

    def __init__(self, config: GatewayConfig, app: Litestar, settings: Settings) -> None:
        super().__init__(config)
        self._plugin = plugin_of(app)
        self._settings = settings
        self._asked_at = 0.0  # monotonic time of the first signal

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals until the process ends.

        uvicorn would restore the old handlers and raise the signals again, and would skip the end
        of the lifespan at a second signal.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to shut down; a further signal after `LONGEST_END_S` ends the process at once."""
        now = time.monotonic()
        if not self.should_exit:
            self.should_exit, self._asked_at = True, now
        elif now - self._asked_at > LONGEST_END_S:
            os._exit(128 + sig)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        spare_collections()
        if not sockets or not self.started:
            return
        # uvicorn's log line takes the scheme from it.
        self.config.ssl = cast(GatewayConfig, self.config).context
        for listener in sockets:
            listener.listen(BACKLOG)  # asyncio used `ACCEPTS_PER_TURN`
        self._log_started_message(sockets)  # uvicorn does not for sockets passed to it
        if self.config.uds is not None:
            return  # browsers cannot connect to it
        url = url_of(sockets, "https" if self.config.is_ssl else "http")
        self._plugin.gateway.lock.announce(url)
        if not self._plugin.gateway.console:
            return
        # The link only goes to a terminal: redirected output ends up in log files.
        if sys.stdout.isatty():
            ticket = self._plugin.keyring.tickets.issue()
            line = f"Log in within five minutes: {url}/login#{ticket}"
        else:
            folder, usual = self._settings.state_dir.resolve(), Settings().state_dir.resolve()
            where = f"in {Path.cwd()}" if folder == usual else f"with SIGHTLINE_STATE_DIR={folder}"
            line = f"Serving {url}: to log a browser in, run `sightline login` {where}"
        with suppress(OSError):  # a full disk: `sightline login` makes another
            print(line, flush=True)

    async def on_tick(self, counter: int) -> bool:
        """Once a second, restore the files of the state folder if they were removed."""
        if counter % TICKS_A_SECOND == 0 and self._plugin.gateway.lock.keep():
            token = self._plugin.keyring.session_token.reveal()
            with suppress(OSError):  # the lock logs it if it persists
                write_private(self._settings.state_dir / TOKEN_FILE, token)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept the connections that the kernel holds, then shut down.

        Closing the listeners would reset them, and with them what their clients have sent.
        """
        self._plugin.gateway.lock.withdraw()
        await accept_waiting([one for server in self.servers for one in server.sockets])
        await super().shutdown(sockets)


def spare_collections() -> None:
    """Exclude the objects of the start from garbage collections, and make full ones rarer.

    A full collection visits every object of every connection, and the loop stands still meanwhile.
    It comes most often while many connect, and frees almost nothing: the only cycle that an ended
    connection leaves is that of asyncio's transport.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], FULL_COLLECTION_EVERY)


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
    """The uvicorn configuration of the gateway; only tests replace `ws`."""
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
        # An application that embeds the gateway keeps uvicorn's standard logging.
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
    """Serve until SIGINT or SIGTERM, which end the process with status 0 and no traceback.

    `around` is a context manager that is entered while the server runs.
    """
    try:
        check_workspace(settings.workspace)
        FolderLock(settings.state_dir).check()  # its error is clearer than "port is taken"
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
    use_stock_if_incompatible(config)
    signal.signal(signal.SIGTERM, _exit)  # until the server handles it
    try:
        with around or nullcontext():
            Server(config, app, settings).run(sockets)
    except KeyboardInterrupt:
        pass
    finally:
        # Otherwise a further Ctrl-C during exit would end the process by a signal.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for listener in sockets or ():
            listener.close()
        if uds is not None:
            Path(uds).unlink(missing_ok=True)


def warn(sockets: list[socket.socket], settings: Settings, *, encrypted: bool) -> None:
    """Log a warning for each risky part of the configuration."""
    if not encrypted and (addresses := open_to_others(sockets)):
        _log.warning(
            "not_encrypted",
            addresses=addresses,
            why="other machines can reach the gateway, and token and events are sent in clear text",
            remedy="use --ssl-certfile and --ssl-keyfile, or --host 127.0.0.1 behind a TLS proxy",
        )
    most, wanted = most_connections(settings.max_clients), settings.max_clients + FEW_WAITING
    if most < wanted:
        _log.warning(
            "few_file_descriptors",
            limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            connections=most,
            why=f"{settings.max_clients} clients, logins and requests need at least {wanted}",
            remedy="raise the limit of open files (ulimit -n, LimitNOFILE= in a systemd unit),"
            " or lower SIGHTLINE_MAX_CLIENTS",
        )


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
