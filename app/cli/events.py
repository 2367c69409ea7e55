"""`events …`: the terminal commands of the Python client, if that is installed."""

from typing import cast

import click

try:
    from sightline_client.terminal import events as _events
except ModuleNotFoundError:  # the extra `terminal` is not installed

    @click.command(
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )
    def _missing() -> None:
        """Listen, publish, record and replay."""
        raise click.ClickException("this needs `pip install 'sightline-gateway[terminal]'`")

    _events = cast(click.Group, _missing)

events: click.Command = _events
