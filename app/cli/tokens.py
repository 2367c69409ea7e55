"""`sightline token`: print the session token, and make, list, rotate and revoke named tokens.

The commands write the token file, or the bucket that gateways on NATS share. Running gateways see that
within a second.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import ParamSpec

import click
import msgspec

from ..auth.access import EVERYTHING, SCOPES, Scope
from ..auth.named import NamedToken, create, revoke, rotate
from ..auth.token_bucket import (
    INBOX_PREFIX,
    Value,
    change_shared,
    closed_after,
    load_shared,
    shared_tokens,
)
from ..auth.token_file import editing, load
from ..errors import SightlineError
from ..log import join
from ..settings import Settings
from ..state import TOKEN_FILE, TOKENS_FILE
from .login import ask_gateway, left_here

_LIFETIME = re.compile(r"([0-9]{1,6})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_P = ParamSpec("_P")


def _plain_errors(command: Callable[_P, None]) -> Callable[_P, None]:
    """Report an error of the command in one line."""

    @wraps(command)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except OSError as error:
            raise click.ClickException(error.strerror or str(error)) from None
        except (SightlineError, ValueError) as error:
            raise click.ClickException(str(error)) from None

    return guarded


def _lifetime(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    found = _LIFETIME.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise click.BadParameter(f"{text[:80]!r} is no time: give one such as 12h, 30d or 8w")
    return float(int(found[1]) * _SECONDS[found[2]])


_EXPIRES = click.option(
    "--expires", "lifetime_s", callback=_lifetime, help="How long it counts: 12h, 30d, 8w."
)


@click.group(invoke_without_command=True)
@click.option(
    "--rotate",
    "rotate_session",
    is_flag=True,
    help="Replace the session token by a new one first; the old one becomes invalid.",
)
@click.pass_context
def token(context: click.Context, rotate_session: bool) -> None:
    """Print the session token of the gateway in this folder; the commands are about named tokens."""
    if context.invoked_subcommand is not None:
        if rotate_session:
            raise click.UsageError("--rotate is for the session token: `rotate NAME` for another")
        return
    if rotate_session:
        ask_gateway("/api/token")
        click.echo(
            "The old token has ended: its connections are closed, all browsers are logged out.",
            err=True,
        )
        click.echo(
            "If SIGHTLINE_SESSION_TOKEN is set where the gateway starts, change it.", err=True
        )
    click.echo(left_here(TOKEN_FILE))


@token.command(name="create")
@click.option("--name", required=True, help="Says who publishes: letters, digits and . _ -")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="May repeat."
)
@click.option(
    "--types", multiple=True, help="Hold reading and publishing to a pattern: 'workflow.*'."
)
@click.option("--read", "readable", multiple=True, help="Hold only reading to a pattern.")
@click.option("--publish", "publishable", multiple=True, help="Hold only publishing to a pattern.")
@_EXPIRES
@_plain_errors
def create_token(
    name: str,
    scopes: tuple[Scope, ...],
    types: tuple[str, ...],
    readable: tuple[str, ...],
    publishable: tuple[str, ...],
    lifetime_s: float | None,
) -> None:
    """Make a named token and print its secret, which nothing keeps."""
    now = time.time()
    patterns = _split(types)
    for_reading = _split(readable) + (patterns if "read" in scopes else ())
    for_publishing = _split(publishable) + (patterns if "publish" in scopes else ())
    if patterns and "admin" in scopes:
        raise click.UsageError("an admin reads and publishes everything: give --types or admin")
    new = NamedToken(
        id="",
        name=name,
        hash="",
        scopes=tuple(dict.fromkeys(scopes)),
        read=for_reading or EVERYTHING,
        publish=for_publishing or EVERYTHING,
        created_at=now,
        expires_at=None if lifetime_s is None else now + lifetime_s,
    )
    secret = _change(lambda tokens: create(tokens, new))
    click.echo("Keep it: it is not shown again.", err=True)
    click.echo(secret)


@token.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@_plain_errors
def list_tokens(as_json: bool) -> None:
    """List the named tokens. The secrets are not kept."""
    tokens = _load()
    if as_json:
        shown = [
            {key: value for key, value in msgspec.structs.asdict(one).items() if key != "hash"}
            for one in tokens
        ]
        click.echo(msgspec.json.encode(shown))
        return
    if not tokens:
        click.echo("no named tokens: `sightline token create` makes one", err=True)
    for one in tokens:
        click.echo(f"{one.name}  {_rights(one)}  {_ends(one, time.time())}")


@token.command(name="revoke")
@click.argument("name")
@_plain_errors
def revoke_token(name: str) -> None:
    """End a named token. A running gateway closes its connections within a second."""
    _change(lambda tokens: (revoke(tokens, name), ""))
    click.echo(f"{name} is revoked.", err=True)


@token.command(name="rotate")
@click.argument("name")
@_EXPIRES
@_plain_errors
def rotate_token(name: str, lifetime_s: float | None) -> None:
    """Give a named token another secret and print it; the old one ends.

    It lasts as long again, or as long as --expires says.
    """
    secret = _change(lambda tokens: rotate(tokens, name, time.time(), lifetime_s))
    click.echo("Keep it: it is not shown again.", err=True)
    click.echo(secret)


def _place() -> tuple[Settings, Value | None]:
    """The settings, and the value that gateways share if the settings say so."""
    join()  # logs must not come between the secrets on standard output
    settings = Settings.from_environ(os.environ)
    return settings, shared_tokens(settings, INBOX_PREFIX)


def _load() -> list[NamedToken]:
    """The tokens where the settings say that they are."""
    settings, value = _place()
    if value is None:
        return load(settings.state_dir / TOKENS_FILE) or []
    return asyncio.run(closed_after(value, load_shared(value)))


def _change(change: Callable[[Sequence[NamedToken]], tuple[list[NamedToken], str]]) -> str:
    """Replace the tokens by what `change` makes of them; return its other result."""
    settings, value = _place()
    if value is not None:
        return asyncio.run(closed_after(value, change_shared(value, change)))
    with editing(settings.state_dir) as (tokens, write):
        changed, result = change(tokens)
        write(changed)
        return result


def _split(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one.strip() for pattern in patterns for one in pattern.split(","))


def _rights(one: NamedToken) -> str:
    patterns = {"read": one.read, "publish": one.publish}
    return " ".join(
        f"{scope}:{','.join(patterns[scope])}" if scope in patterns else scope
        for scope in one.scopes
    )


def _ends(one: NamedToken, now: float) -> str:
    if one.expires_at is None:
        return "no end"
    end = datetime.fromtimestamp(one.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"expired {end}" if one.expires_at <= now else f"until {end}"
