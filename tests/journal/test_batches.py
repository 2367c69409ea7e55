"""What a batch costs: one statement a table, and SQLite parses few of them, whatever the sizes."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from app.journal.history import Question
from app.journal.reader import Reader
from app.journal.schema import words_table
from app.journal.writer import Bounds, Writer
from tests.kit.journal import event

BOUNDS = Bounds(64 * 1024 * 1024, 86_400_000)
SIZES = range(1, 101)


class Counted(sqlite3.Connection):
    """Counts how often each statement is executed."""

    executed: Counter[str]

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:  # type: ignore[override]
        """Count, then execute."""
        self.executed[sql] += 1
        return super().execute(sql, parameters)


def writer_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Writer, Counter[str]]:
    executed: Counter[str] = Counter()
    monkeypatch.setattr(Counted, "executed", executed, raising=False)
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **options: connect(*args, factory=Counted, **options)
    )
    writer = Writer(path, BOUNDS)
    writer.begin("e", 0)
    executed.clear()
    return writer, executed


def test_batches_of_every_size_take_one_statement_a_table_out_of_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, executed = writer_counted(tmp_path / "journal.db", monkeypatch)
    number = 0
    for size in SIZES:
        writer.store([event(number + i + 1, f"w{size}", "ada") for i in range(size)])
        number += size
    for table in ("events", words_table(1), "tallies"):
        statements = [
            sql for sql in executed if sql.startswith(f"INSERT INTO {table} ") and "LIMIT" in sql
        ]
        assert sum(executed[sql] for sql in statements) == len(SIZES)
        assert len(statements) <= 8  # so SQLite parses few, and few keep a batch in memory
    with closing(Reader(tmp_path / "journal.db")) as reader:
        page = reader.page(Question(limit=number, words=("w77",), agent="ada"))
        assert page is not None
        assert len(page.messages) == page.matches == 77
        assert reader.summary().types == {"a.b": number}
    writer.close()
