"""The commands `sightline run` and `litestar run`, which serve the gateway."""

import copy
import os
from typing import NoReturn

import click
from litestar.cli._utils import LitestarEnv, create_ssl_files, validate_ssl_file_paths
from litestar.cli.commands.core import _server_lifespan, run_command

from ..errors import SettingsError
from ..main import create_app
from ..plugin import SightlinePlugin
from ..server.serve import DEFAULT_PORT, serve
from ..settings import Settings

STARTUP_FAILED = 3  # supervisors of workers do not restart after this status
# Options of `litestar run` that are refused with the reason.
REFUSED = frozenset({"reload", "reload_dir", "reload_include", "reload_exclude", "wc"})


@click.command
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--workspace", help="Watch this folder instead of the current one; '' watches none.")
@click.option("--fd", type=int, help="Serve on this inherited socket.")
@click.option("--uds", help="Serve on a Unix socket at this path.")
@click.option("--ssl-certfile", help="Certificate for TLS.")
@click.option("--ssl-keyfile", help="Key of the certificate.")
def run(
    port: int,
    host: str,
    workspace: str | None,
    fd: int | None,
    uds: str | None,
    ssl_certfile: str | None,
    ssl_keyfile: str | None,
) -> None:
    """Serve the gateway until Ctrl-C. All other settings are SIGHTLINE_* variables."""
    environ = dict(os.environ)
    if workspace is not None:
        environ["SIGHTLINE_WORKSPACE"] = workspace
    certificate, key = validate_ssl_file_paths(ssl_certfile, ssl_keyfile)
    try:
        settings = Settings.from_environ(environ)
        app = create_app(settings)
    except SettingsError as error:
        click.echo(f"sightline: {error}", err=True)
        raise SystemExit(STARTUP_FAILED) from None
    serve(app, settings, host, port, fd=fd, uds=uds, certificate=certificate, key=key)


def replace_run(cli: click.Group, plugin: SightlinePlugin) -> None:
    """Replace Litestar's `run` command, keeping its parameters.

    The default port is the gateway's if the gateway is the whole application.
    """

    def run(  # the group passes `env`
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
            _refuse("several workers", "run one worker: omit --wc and WEB_CONCURRENCY")
        if reload or reload_dir or reload_include or reload_exclude:
            _refuse("--reload", "omit it and restart the gateway by hand")
        env.app.debug = env.app.debug or debug
        env.app.pdb_on_exception = env.app.pdb_on_exception or pdb
        certificate, key = (
            create_ssl_files(ssl_certfile, ssl_keyfile, host)
            if create_self_signed_cert
            else validate_ssl_file_paths(ssl_certfile, ssl_keyfile)
        )
        serve(
            env.app,
            plugin.settings,
            host,
            port,
            fd=fd,
            uds=uds,
            certificate=certificate,
            key=key,
            around=_server_lifespan(env.app),
        )

    command = copy.copy(run_command)
    command.callback = run
    command.params = [copy.copy(parameter) for parameter in run_command.params]
    for parameter in command.params:
        if parameter.name == "port" and plugin.alone:
            parameter.default = DEFAULT_PORT
        if parameter.name in REFUSED and isinstance(parameter, click.Option):
            parameter.hidden = True
    cli.add_command(command, "run")


def _refuse(what: str, remedy: str) -> NoReturn:
    raise click.ClickException(
        f"{what} cannot be used: a gateway is exactly one process, several workers would split"
        f" its events and places (for several gateways see docs/scaling.md); {remedy}"
    )
