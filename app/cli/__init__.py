"""The commands `sightline …`; most of them exist as `litestar …` too.

A command's module is imported when the command is called, so that every command starts fast.
"""

from importlib import import_module

import click

_COMMANDS = {  # name: module, attribute, help in one line
    "run": ("run", "run", "Serve the gateway."),
    "login": ("login", "login", "Print a link that logs a browser in."),
    "token": ("tokens", "token", "Print the session token, or manage named ones."),
    "hooks": ("hooks", "hooks", "Connect a coding agent, or disconnect it."),
    "journal": ("journal", "journal", "Inspect, export and prune the journal."),
    "events": ("events", "events", "Listen, publish, record and replay."),
}


class _Lazy(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f".{module}", __name__), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sightline-gateway", prog_name="sightline")
def main() -> None:
    """Sightline shows people what their AI agents are doing, as it happens."""
