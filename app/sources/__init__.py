"""Sources: producers of events about a workspace. They use only the publisher's `emit`."""

from collections.abc import Callable
from pathlib import Path

from ..errors import SettingsError

Emit = Callable[[str, dict[str, object], dict[str, object]], None]


def check_workspace(workspace: Path | None) -> None:
    """Raise `SettingsError` if the workspace is not a folder; None is fine."""
    if workspace is not None and not workspace.is_dir():
        what = "is not a folder" if workspace.exists() else "does not exist"
        raise SettingsError(
            f"SIGHTLINE_WORKSPACE: {str(workspace)!r} {what}; give the folder to watch,"
            " or an empty value to watch none"
        )
