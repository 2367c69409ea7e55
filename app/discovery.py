"""What the `litestar` command loads from an installed Sightline, before it looks for an app.

Litestar looks in the current folder alone. In one that holds no application of its own,
`litestar run` means the gateway, watching that folder.
"""

import json
import os
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

import click

from app.errors import SettingsError
from app.settings import Settings
from app.state import TOKEN_FILE, URL_FILE, read_private

ANSWER_S = 5

_CANONICAL = ("app", "app.py", "application", "application.py")  # where litestar looks by itself

if not any(Path(name).exists() for name in _CANONICAL):
    os.environ.setdefault("LITESTAR_APP", "app:create_app")


@click.command
def token() -> None:
    """Print the session token of the gateway in this folder, for scripts."""
    click.echo(_left_here(TOKEN_FILE))


@click.command
@click.option("--open", "open_it", is_flag=True, help="Open the link in the browser too.")
def login(open_it: bool) -> None:
    """Print a link that logs a browser in to the gateway in this folder, once."""
    url = _left_here(URL_FILE)
    request = urllib.request.Request(
        f"{url}/api/tickets", b"", {"X-Session-Token": _left_here(TOKEN_FILE)}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a secret is in it
    try:
        with direct.open(request, timeout=ANSWER_S) as answer:
            ticket = json.load(answer)["ticket"]
    except urllib.error.HTTPError as error:
        raise click.ClickException(f"{url} refused: {_message(error)}") from None
    except (OSError, ValueError, KeyError) as error:
        raise click.ClickException(f"{url} does not answer ({error}): is it running?") from None
    link = f"{url}/login#{ticket}"
    click.echo(link)
    if open_it and not webbrowser.open(link):
        raise click.ClickException("no browser to open it with: open the link by hand")


def _left_here(name: str) -> str:
    """What the gateway of this folder left in the state folder for us."""
    try:
        path = Settings.from_environ(os.environ).state_dir / name
        text = read_private(path)
    except (SettingsError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if not text:
        raise click.ClickException(f"no {path} here: start the gateway in this folder first")
    return text


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error)
