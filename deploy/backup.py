#!/usr/bin/env python3
"""backup.py STATE TARGET: copy a gateway's state folder to the new folder TARGET, while it runs.

To restore, stop the gateway, and put TARGET in the place of the state folder, with its owner. The
copy has no mark of a clean stop, so the gateway begins a new epoch, and the old ones stay readable.
"""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

# Of the running process alone; and `.clean`, the mark, which belongs to the file that was closed.
LEFT_OUT = (".lock", ".clean", "-wal", "-shm", "-journal")
DATABASE = b"SQLite format 3\0"


def copy_database(source: Path, target: Path) -> None:
    """Copy in one step, as it is at this moment; the gateway goes on writing meanwhile."""
    target.touch(0o600)
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy, pages=-1)  # in steps, it would begin again after each write
        (found,) = copy.execute("PRAGMA quick_check").fetchone()
        if found != "ok":
            raise SystemExit(f"backup.py: {source} is damaged: {found}")


def main(state: Path, target: Path) -> None:
    """Copy each regular file; the target's folder and files are for their owner alone."""
    os.umask(0o077)
    target.mkdir(mode=0o700)
    for path in sorted(state.iterdir()):
        if path.is_symlink() or not path.is_file() or path.name.endswith(LEFT_OUT):
            continue
        with path.open("rb") as file:
            is_database = file.read(len(DATABASE)) == DATABASE
        copy = copy_database if is_database else shutil.copy2
        copy(path, target / path.name)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (OSError, sqlite3.Error) as error:
        raise SystemExit(f"backup.py: {error}") from None
