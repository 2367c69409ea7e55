"""`login`, and how commands ask the running gateway of this folder."""

import html
import json
import os
import time
import webbrowser
from pathlib import Path

import click

from ..auth.asking import StrangerError, ask
from ..errors import SettingsError
from ..settings import Settings
from ..state import TOKEN_FILE, URL_FILE, read_kept, redirect_file, write_private

TICKET_S = 300


@click.command
@click.option("--open", "open_it", is_flag=True, help="Open the link in the browser too.")
def login(open_it: bool) -> None:
    """Print a link that logs one browser in to the gateway in this folder."""
    try:
        ticket = str(json.loads(ask_gateway("/api/tickets"))["ticket"])
    except (ValueError, KeyError, TypeError):
        raise click.ClickException("the gateway's answer holds no ticket") from None
    link = f"{left_here(URL_FILE)}/login#{ticket}"
    click.echo(link)
    if open_it and not webbrowser.open(_redirect(link, ticket).absolute().as_uri()):
        raise click.ClickException("no browser to open it with: open the link by hand")


def _redirect(link: str, ticket: str) -> Path:
    """A private page that redirects to the link: every user can read a browser's command line.

    The gateway removes the page with the ticket; expired pages are removed here.
    """
    folder = state_dir()
    for old in folder.glob("login-*.html"):
        try:
            if time.time() - old.lstat().st_mtime > TICKET_S:
                old.unlink()
        except FileNotFoundError:
            continue
    target = html.escape(link)
    page = (
        '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="refresh" content="0;url={target}"><title>Sightline</title>'
        f'<a href="{target}">Log in</a>'
    )
    path = redirect_file(folder, ticket)
    write_private(path, page)
    return path


def ask_gateway(path: str) -> str:
    """Post to the gateway of this folder, which proves its identity first."""
    url, token_here = left_here(URL_FILE), left_here(TOKEN_FILE)
    try:
        answer = ask(url, token_here, path)
    except StrangerError as error:
        raise click.ClickException(str(error)) from None
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{url} does not answer: is it running? ({error})") from None
    if not 200 <= answer.status < 300:
        raise click.ClickException(f"{url} refused: {_message(answer.status, answer.body)}")
    return answer.body.decode("utf-8", "replace")


def left_here(name: str) -> str:
    """The text of a file that the gateway of this folder wrote."""
    path = state_dir() / name
    try:
        text = read_kept(path)
    except OSError as error:
        raise click.ClickException(error.strerror or str(error)) from None
    if not text:
        raise click.ClickException(f"no {path} here: start the gateway in this folder first")
    return text


def state_dir() -> Path:
    try:
        return Settings.from_environ(os.environ).state_dir
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def _message(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status}"
