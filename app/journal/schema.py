"""The journal's file: opening it, its tables, and the migrations between versions.

Every event has an `id`. Ids grow by one with every sequence number, over all epochs. So ids have
the order of positions, and finding a position needs no index.

- `epochs`: `id = base + sequence_number` for the events of `name`, from id `first` to number
  `head`. Retention raises `first`. An epoch that was interrupted by another one has two rows. One
  of which nothing is left, or that never had an event, keeps its row: a client may hold a position
  in it. Such rows need a `first` of their own, so one id between two epochs stays free.
- `segments`: runs of ids. Each has its own table of words, which retention drops as a whole.
- `tallies`: how many events of a segment have a type, an agent or a session. A search uses them
  to skip segments.
- `holes`: ranges of ids whose events were never stored.
"""

import fcntl
import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ..state import NotOursError, require_ours

VERSION = 1
STATEMENTS = 32  # kept parsed; each also keeps the values last bound to it, up to a whole batch
BUSY_TIMEOUT_S = 1.0  # another program, such as `sqlite3`, may hold the file for a moment
_MIGRATIONS = {
    1: """
        CREATE TABLE epochs (
            first INTEGER PRIMARY KEY, name TEXT NOT NULL, base INTEGER NOT NULL,
            head INTEGER NOT NULL
        );
        CREATE TABLE segments (
            id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
            events INTEGER NOT NULL, bytes INTEGER NOT NULL,
            from_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL
        );
        CREATE TABLE events (
            id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, type TEXT NOT NULL,
            agent TEXT, session TEXT, body BLOB NOT NULL
        );
        CREATE TABLE tallies (
            kind TEXT NOT NULL, value TEXT NOT NULL, segment INTEGER NOT NULL,
            events INTEGER NOT NULL, PRIMARY KEY (kind, value, segment)
        ) WITHOUT ROWID;
        CREATE INDEX tallies_by_segment ON tallies (segment);
        CREATE TABLE holes (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
    """,
}


class NewerJournalError(sqlite3.DatabaseError):
    """A newer Sightline wrote the file, which is left unchanged."""


def words_table(segment: int) -> str:
    """The name of a segment's full-text table. Its rows have the ids of the events."""
    return f"words_{segment}"


def create_words_table(connection: sqlite3.Connection, segment: int) -> None:
    """Create a segment's full-text table. The table holds no text, only the index."""
    name = words_table(segment)
    options = "content='', columnsize=0, tokenize=\"unicode61 remove_diacritics 2\""
    connection.execute(f"CREATE VIRTUAL TABLE {name} USING fts5(text, {options})")
    # Each batch adds a part to the index, and merging writes parts again. `automerge` 0 leaves only
    # the merge at 16 parts; by default, FTS5 also merges 4.
    connection.execute(f"INSERT INTO {name} ({name}, rank) VALUES ('automerge', 0)")


def lock_writing(path: Path) -> int:
    """Become the only gateway that writes the file; closing the returned descriptor ends that.

    Raises:
        OSError: another gateway writes it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path.with_name(path.name + ".lock"), flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError(
            f"another gateway writes {path}: give this one a file of its own in SIGHTLINE_JOURNAL"
        ) from None
    return descriptor


def open_writer(path: Path, page_bytes: int = 4096) -> sqlite3.Connection:
    """Open the file for the only writer; create or migrate it. For one thread.

    `page_bytes` is the page size of a new file; an existing one keeps its own.

    Raises:
        sqlite3.Error, OSError: the file cannot be opened, is damaged, or is a link.
    """
    require_ours(path)
    _create_private(path)
    connection = _connect(path)
    try:
        version = _known_version(connection)
        foreign = "SELECT count(*) FROM sqlite_master WHERE type IN ('trigger', 'view')"
        if connection.execute(foreign).fetchone()[0]:  # SQL that would run with ours
            raise NotOursError(path, "it holds triggers or views, which no gateway makes")
        connection.execute(
            f"PRAGMA page_size = {page_bytes}"
        )  # this and the next: only in a new file
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        while version < VERSION:
            version = _migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, version: int) -> int:
    """Take the file from this version to the next; return its version then."""
    newer = version + 1
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_MIGRATIONS[newer]}; PRAGMA user_version = {newer}; COMMIT;"
        )
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.rollback()
        found = _known_version(connection)
        if found == version:
            raise
        return found  # a command, such as `sightline journal forget`, migrated it meanwhile
    return newer


def open_reader(path: Path) -> sqlite3.Connection:
    """Open the file for reading, by any one thread at a time.

    Raises:
        sqlite3.Error: the file cannot be opened.
    """
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def identity(path: Path) -> tuple[int, int]:
    """Device and inode: what changes when the file is replaced; raises `OSError`."""
    found = path.stat()
    return found.st_dev, found.st_ino


def put_aside(path: Path) -> Path:
    """Rename a damaged file and its side files; return the new path, or raise `OSError`."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"  # two of one second must differ
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        side = path.with_name(path.name + suffix)
        if side.exists():
            side.rename(aside.with_name(aside.name + suffix))
    return aside


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )


def _create_private(path: Path) -> None:
    """Create a missing file for its owner alone. SQLite gives its side files the same mode."""
    # An existing file is not opened: closing it would drop the locks of our other connections.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _known_version(connection: sqlite3.Connection) -> int:
    found: int
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise NewerJournalError(
            f"the journal has version {found}, and this Sightline knows version {VERSION}:"
            " start the newer Sightline, or move the journal away"
        )
    return found
