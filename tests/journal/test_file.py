"""The file: one gateway writes it, every version opens, and a search finds its first epoch."""

import json
import os
import sqlite3
from pathlib import Path

import pytest

from app.events import Position
from app.journal import schema
from app.journal.history import Question
from app.journal.reader import Reader
from app.journal.writer import Bounds, Writer
from tests.journal.versions import VERSIONS, write
from tests.kit.journal import event

BOUNDS = Bounds(64 * 1024 * 1024, 86_400_000)


def test_two_gateways_cannot_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    writer = Writer(path, BOUNDS)
    with pytest.raises(OSError, match=r"another gateway writes .* SIGHTLINE_JOURNAL"):
        Writer(path, BOUNDS)
    writer.close()
    Writer(path, BOUNDS).close()


def test_two_damaged_files_of_one_second_are_both_kept(tmp_path: Path) -> None:
    for content in ("first", "second"):
        (tmp_path / "journal.db").write_text(content)
        schema.put_aside(tmp_path / "journal.db")
    kept = sorted(path.read_text() for path in tmp_path.glob("journal.db.damaged-*"))
    assert kept == ["first", "second"]


def test_a_search_begins_in_the_first_epoch_that_has_a_hit(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal.db", BOUNDS)
    for epoch, word in (("e1", "red"), ("e2", "green"), ("e3", "red")):
        writer.begin(epoch, 0)
        writer.store([event(1, word, "ada")])
    reader = Reader(tmp_path / "journal.db")
    for order in ("asc", "desc"):
        page = reader.page(Question(limit=5, order=order, words=("green",)))
        assert page is not None
        assert (page.epoch, len(page.messages), page.matches) == ("e2", 1, 1)
    stays = reader.page(Question(limit=5, words=("green",), after=Position(0, "e1")))
    assert stays is not None
    assert (stays.epoch, stays.messages, stays.newer) == ("e1", [], "e2:0")
    reader.close()
    writer.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_every_version_opens_and_gives_its_events_back(
    version: int, tmp_path: Path
) -> None:
    path = write(version, tmp_path)
    writer = Writer(path, BOUNDS)
    writer.begin("new", 0)
    writer.store([event(1, "later", "ada")])
    reader = Reader(path)
    page = reader.page(Question(limit=10))
    assert page is not None
    assert [json.loads(one)["sequence_number"] for one in page.messages] == [1, 2, 3]
    assert [json.loads(one)["data"]["text"] for one in page.messages] == ["red", "grün", "red blue"]
    assert page.newer == "old:3"  # a hole follows
    found = reader.page(Question(limit=10, words=("red",), agent="ada"))
    assert found is not None
    assert found.matches == 2
    assert reader.summary().events == 5
    reader.close()
    writer.close()


def test_the_newest_version_has_a_kept_file() -> None:
    assert list(range(1, schema.VERSION + 1)) == VERSIONS


def test_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    os.chmod(path, 0o600)
    before = path.read_bytes()
    with pytest.raises(schema.NewerJournalError, match="version 99"):
        Writer(path, BOUNDS)
    assert path.read_bytes() == before
