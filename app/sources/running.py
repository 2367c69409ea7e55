"""Makes the sources of a workspace, and runs each one until the gateway stops."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import structlog

from . import Emit

FIRST_PAUSE_S = 1.0  # before a failed source is restarted; doubled after each failure, up to
LONGEST_PAUSE_S = 60.0
_log = structlog.get_logger("sightline.gateway")


class Source(Protocol):
    """A producer of events: `run` emits them until it is cancelled."""

    async def run(self) -> None:
        """Emit events until cancelled."""


def sources_of(
    workspace: Path, emit: Emit, on_sight: Callable[[Mapping[str, int]], None]
) -> dict[str, Source]:
    """The sources of the workspace, by name; empty, with a warning, if the extra is missing.

    `on_sight`: see `WorkspaceSource`.
    """
    try:
        from .git import GitSource
        from .workspace import WorkspaceSource
    except ModuleNotFoundError as error:
        remedy = "pip install 'sightline-gateway[workspace]', or set SIGHTLINE_WORKSPACE to nothing"
        _log.warning("workspace_not_watched", missing=error.name, remedy=remedy)
        return {}
    return {
        "workspace": WorkspaceSource(emit, workspace, on_sight),
        "git": GitSource(emit, workspace),
    }


async def keep_running(name: str, source: Source) -> None:
    """Run a source until cancelled; log each failure and restart the source after a pause."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            await source.run()
            return
        except Exception as error:
            what = type(error).__name__
            _log.error(
                "source_died", source=name, error_type=what, again_in_s=pause_s, exc_info=error
            )
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
