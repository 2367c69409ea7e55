"""`sightline hooks …`: connect a coding agent to the gateway, and take it off again."""

import difflib
import os
from pathlib import Path

import click

from ..auth.proof import hook_token
from ..errors import SettingsError
from ..ingest import claude_code, codex
from ..ingest.hook_settings import Gateway, Place, SettingsFormatError, with_hooks, without_hooks
from ..settings import Settings
from ..state import TOKEN_FILE, URL_FILE, read_kept
from .edits import Edit, Installed, git_exclude

AGENTS = {module.SOURCE: module for module in (claude_code, codex)}
STATE_DIR = ".sightline"
CHECKOUT = Path(__file__).parents[2]
_agent = click.argument("agent", type=click.Choice(list(AGENTS)))
_user = click.option("--user", is_flag=True, help="For all folders: the default.")
_project = click.option("--project", is_flag=True, help="For the current folder alone.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group
def hooks() -> None:
    """Connect a coding agent to the gateway."""


@hooks.command
@_agent
@_user
@_project
@click.option("--gateway", metavar="FOLDER|URL", help="The folder it runs in, or its address.")
@_yes
def install(agent: str, user: bool, project: bool, gateway: str | None, yes: bool) -> None:
    """Have AGENT report what it does; shows first what changes in its settings."""
    path = _settings_file(AGENTS[agent].PLACE, user, project)
    installed = Installed.at(path)
    url, token = _gateway(gateway)
    target = Gateway(f"{url}{_route(agent)}", hook_token(token), str(installed.header_file))
    edit = Edit.of(path)
    try:
        edit.clean = without_hooks(edit.text, _route(agent))
        edit.after = with_hooks(edit.text, AGENTS[agent].hooks(target), _route(agent))
    except SettingsFormatError as error:
        raise click.ClickException(f"{path}: {error}. Mend it first") from None
    edits = [edit]
    if project and (exclude := git_exclude(path)) is not None:
        edits.append(exclude)
    if not _agreed(edits, yes, target.token):
        return
    installed.install(edits, f"Authorization: Bearer {target.token}\n")
    click.echo(f"{agent} reports to {url} from its next session on: sightline events sessions")


@hooks.command
@_agent
@_user
@_project
@_yes
def uninstall(agent: str, user: bool, project: bool, yes: bool) -> None:
    """Take the hooks out again; shows first what changes."""
    path = _settings_file(AGENTS[agent].PLACE, user, project)
    installed = Installed.at(path)
    edit = Edit.of(path)
    try:
        edit.after = without_hooks(edit.text, _route(agent))
    except SettingsFormatError as error:
        raise click.ClickException(f"{path}: {error}. Mend it first") from None
    edits = installed.restored(edit)
    if not any(edit.changes for edit in edits):
        click.echo(f"no hooks of the gateway in {path}")
        return
    if _agreed(edits, yes, ""):
        installed.uninstall(edits)


def _agreed(edits: list[Edit], yes: bool, secret: str) -> bool:
    """Show what changes, and ask."""
    for edit in edits:
        before, after = edit.text.splitlines(), (edit.after or "").splitlines()
        for line in difflib.unified_diff(
            before, after, str(edit.path), str(edit.path), lineterm=""
        ):
            click.echo(line.replace(secret, "[hook token]") if secret else line)
    return yes or click.confirm("Write this?")


def _route(agent: str) -> str:
    return f"/api/hooks/{agent}"


def _settings_file(place: Place, user: bool, project: bool) -> Path:
    if user and project:
        raise click.UsageError("give --user or --project, not both")
    if project:
        return Path.cwd() / place.folder / place.project
    home = os.environ.get(place.variable)
    return (Path(home) if home else Path.home() / place.folder).absolute() / place.user


def _gateway(given: str | None) -> tuple[str, str]:
    """Address and session token of the gateway: what is given, this folder's, or the checkout's."""
    if given is not None and given.startswith(("http://", "https://")):
        token = os.environ.get("SIGHTLINE_SESSION_TOKEN")
        if not token:
            raise click.ClickException("with an address, SIGHTLINE_SESSION_TOKEN has to be set")
        return given.rstrip("/"), token
    if given is not None:
        folders = [Path(given) / STATE_DIR]
    else:
        here = Path.cwd()
        folders = [_state_dir(), *(parent / STATE_DIR for parent in here.parents)]
        folders.append(CHECKOUT / STATE_DIR)
    for folder in folders:
        try:
            url, token = read_kept(folder / URL_FILE), read_kept(folder / TOKEN_FILE)
        except OSError as error:
            raise click.ClickException(error.strerror or str(error)) from None
        if url and token:
            return url, token
    raise click.ClickException(
        f"no gateway runs in {given or 'this folder or a parent'}: start it first, or name its"
        " folder with --gateway"
    )


def _state_dir() -> Path:
    try:
        return Settings.from_environ(os.environ).state_dir
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
