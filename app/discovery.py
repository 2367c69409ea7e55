"""What the `litestar` command loads from an installed Sightline, before it looks for an app.

Litestar looks in the current folder alone. In one that holds no application of its own,
`litestar run` means the gateway, watching that folder.
"""

import os
from pathlib import Path

import click

from app.errors import SettingsError
from app.settings import Settings

_CANONICAL = ("app", "app.py", "application", "application.py")  # where litestar looks by itself

if not any(Path(name).exists() for name in _CANONICAL):
    os.environ.setdefault("LITESTAR_APP", "app:create_app")


@click.command
def token() -> None:
    """Print the session token of the gateway in this folder, for scripts."""
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    path = settings.state_dir / "session.token"
    if not path.is_file():
        raise click.ClickException(f"no {path} here: start the gateway in this folder first")
    click.echo(path.read_text().strip())
