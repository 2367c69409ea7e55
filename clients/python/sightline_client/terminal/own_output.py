"""Recognises events about the file that a command writes: to write them would cause the next ones."""

import os
import stat
from pathlib import Path

from sightline_client import Event, Gap


class OwnOutput:
    """The file that the output goes to, if it is one. Counts what it takes out."""

    def __init__(self, path: Path | None) -> None:
        parts = () if path is None else Path(os.path.realpath(path)).parts
        # As the gateway spells names that are not UTF-8.
        self._parts = tuple(os.fsencode(part).decode("utf-8", "replace") for part in parts)
        self.left_out = 0

    @classmethod
    def of(cls, descriptor: int) -> "OwnOutput":
        """The file behind a descriptor, such as that of a shell's `>`."""
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return cls(None)
        try:
            return cls(Path(os.readlink(f"/dev/fd/{descriptor}")))
        except OSError:  # a system without such links
            return cls(None)

    def leaves_out(self, item: Event | Gap) -> bool:
        """Whether the item tells of this file, as far as a path below an unknown folder can say."""
        if not self._parts or isinstance(item, Gap) or not item.type.startswith("file."):
            return False
        path = item.fields.get("path")
        if item.metadata.get("source") != "workspace" or not isinstance(path, str):
            return False
        parts = tuple(path.split("/"))
        ours = self._parts[-len(parts) :] == parts
        self.left_out += ours
        return ours

    @property
    def summary(self) -> str:
        """What to say at the end; nothing where nothing was left out."""
        return f", left out {self.left_out:,} about this file" if self.left_out else ""
