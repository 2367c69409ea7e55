"""The file of the journal is created and migrated once, however many begin at the same moment."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.journal import schema


def test_a_file_that_another_process_has_just_created_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    known, first = schema._known_version, True

    def known_just_before(connection: sqlite3.Connection) -> int:
        nonlocal first
        version = known(connection)
        if first:
            first = False
            schema.open_writer(path).close()
        return version

    monkeypatch.setattr(schema, "_known_version", known_just_before)
    with closing(schema.open_writer(path)) as connection:
        assert known(connection) == schema.VERSION
        assert connection.execute("SELECT count(*) FROM epochs").fetchone() == (0,)


def test_a_migration_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {version: "CREATE TABLE" for version in schema._MIGRATIONS}
    monkeypatch.setattr(schema, "_MIGRATIONS", broken)
    with pytest.raises(sqlite3.OperationalError, match=r"incomplete|syntax"):
        schema.open_writer(tmp_path / "journal.db")
