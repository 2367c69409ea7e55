"""A small journal of every released version, kept as data: `python -m tests.journal.versions`.

The command writes the one of the present version. Never write an old one again.
"""

import gzip
import tempfile
from pathlib import Path

from app.journal.schema import VERSION
from app.journal.writer import Bounds, Writer
from tests.kit.journal import event

FOLDER = Path(__file__).parent / "versions"
VERSIONS = sorted(int(path.name.split(".")[0]) for path in FOLDER.glob("*.db.gz"))


def write(version: int, folder: Path) -> Path:
    """A journal as that version left it."""
    path = folder / "journal.db"
    path.write_bytes(gzip.decompress((FOLDER / f"{version}.db.gz").read_bytes()))
    path.chmod(0o600)
    return path


def keep() -> None:
    """Write the file of the present version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        writer = Writer(path, Bounds(64 * 1024 * 1024, 86_400_000))
        writer.begin("old", 0)
        words = [(1, "red", "ada"), (2, "grün", "bob"), (3, "red blue", "ada"), (6, "late", "bob")]
        writer.store([event(*one) for one in words])
        writer.close()
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / f"{VERSION}.db.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    keep()
