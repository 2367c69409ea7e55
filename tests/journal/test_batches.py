"""What a batch costs: few statements, whatever its size, few pages, and few merges of the words."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from app.events import Event
from app.journal.history import Question
from app.journal.reader import Reader
from app.journal.record import to_timestamp
from app.journal.retention import Retention
from app.journal.schema import words_table
from app.journal.writer import Bounds, Writer
from tests.kit.journal import NOW_MS, event

MIB = 1024 * 1024
BOUNDS = Bounds(64 * MIB, 86_400_000)
SIZES = range(1, 101)


class Counted(sqlite3.Connection):
    """Counts how often each statement is executed, and what is bound to insertions."""

    executed: Counter[str]
    bound: set[type]

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:  # type: ignore[override]
        """Count, then execute."""
        self.executed[sql] += 1
        if sql.startswith("INSERT INTO"):
            self.bound.update(map(type, parameters))
        return super().execute(sql, parameters)


def writer_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Writer, Counter[str]]:
    executed: Counter[str] = Counter()
    monkeypatch.setattr(Counted, "executed", executed, raising=False)
    monkeypatch.setattr(Counted, "bound", set(), raising=False)
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
            sql for sql in executed if sql.startswith(f"INSERT INTO {table} ") and "rank" not in sql
        ]
        assert sum(executed[sql] for sql in statements) == len(SIZES)
        assert len(statements) <= 8  # so SQLite parses few, and few keep a batch in memory
    assert Counted.bound == {int, str}  # `sqlite3` takes five times as long with None and bytes
    with closing(Reader(tmp_path / "journal.db")) as reader:
        page = reader.page(Question(limit=number, words=("w77",), agent="ada"))
        assert page is not None
        assert len(page.messages) == page.matches == 77
        assert reader.summary().types == {"a.b": number}
    writer.close()


@pytest.mark.parametrize(("max_bytes", "page_bytes"), [(MIB, 4096), (64 * MIB, 8192)])
def test_pages_are_large_where_the_journal_may_be(
    max_bytes: int, page_bytes: int, tmp_path: Path
) -> None:
    writer = Writer(tmp_path / "journal.db", Bounds(max_bytes, 86_400_000))
    assert writer.connection.execute("PRAGMA page_size").fetchone() == (page_bytes,)
    writer.close()


def test_the_words_of_fewer_than_sixteen_batches_are_not_merged(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal.db", BOUNDS)
    writer.begin("e", 0)
    parts = f"SELECT count(DISTINCT segid) FROM {words_table(1)}_idx"  # as FTS5 keeps them
    for batch in range(8):
        numbers = range(10 * batch + 1, 10 * batch + 11)
        words = [" ".join(f"w{number}x{i}" for i in range(1000)) for number in numbers]
        writer.store([event(*one, "ada") for one in zip(numbers, words, strict=True)])
        assert writer.connection.execute(parts).fetchone() == (batch + 1,)
    writer.close()


def test_the_oldest_event_is_looked_up_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, executed = writer_counted(tmp_path / "journal.db", monkeypatch)
    writer.store([event(1, "red", "ada")])
    retention = Retention(writer)
    for at_ms in (0, 0, 999, 1000, 500):  # the clock may go back
        assert not retention.step(NOW_MS + at_ms)
    assert sum(n for sql, n in executed.items() if "FROM segments" in sql) == 3
    assert retention.step(NOW_MS + BOUNDS.max_age_ms + 1000)
    with closing(Reader(writer.path)) as reader:
        assert reader.summary().events == 0
    writer.close()


@pytest.mark.parametrize(
    ("contents", "found"),
    [
        ('"data":{"a":"grün \\n\\u0000 \\"x\\""},"metadata":{}}', (None, None)),
        ('"data":{"session_id":7},"metadata":{"agent":"","session_id":"s"}}', ("", "7")),
        ('"data":{"session_id":true},"metadata":{"agent":[1],"session_id":"0"}}', (None, "0")),
        ('"data":{"a":[{"session_id":1,"agent":2}]},"metadata":{}}', (None, None)),
    ],
)
def test_an_event_is_stored_byte_for_byte_with_its_agent_and_session(
    contents: str, found: tuple[str | None, str | None], tmp_path: Path
) -> None:
    writer = Writer(tmp_path / "journal.db", BOUNDS)
    writer.begin("e", 0)
    stamp = to_timestamp(NOW_MS)
    message = f'{{"type":"a.b","timestamp":"{stamp}","sequence_number":1,{contents}'.encode()
    writer.store([Event("a.b", stamp, 1, 0.0, message)])
    (row,) = writer.connection.execute("SELECT agent, session, body FROM events")
    assert row == (*found, contents.encode())
    tallies = writer.connection.execute("SELECT value FROM tallies WHERE kind <> 'type'")
    assert {value for (value,) in tallies} == {value for value in found if value is not None}
    with closing(Reader(writer.path)) as reader:
        assert [one.encoded for one in reader.newest("e", 1, MIB, 0.0)] == [message]
    writer.close()
