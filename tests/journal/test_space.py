"""What the journal gives back: it stays within its bytes, and forgets for good."""

from pathlib import Path

import pytest

from app.journal.forgetting import Forgotten, forget
from app.journal.history import Question
from app.journal.reader import Reader
from app.journal.retention import Retention, size_on_disk
from app.journal.storing import Storing
from app.journal.writer import Bounds, Writer
from tests.kit.journal import NOW_MS, event
from tests.support import FakeClock

MIB = 1024 * 1024
DAY_MS = 86_400_000


@pytest.mark.slow
def test_the_file_and_its_log_stay_within_the_bytes_while_five_times_as_much_comes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    writer = Writer(path, Bounds(2 * MIB, DAY_MS))
    writer.begin("e", 0)
    retention = Retention(writer)
    for batch in range(100):
        writer.store([event(batch * 100 + i + 1, f"w{i} " * 200, "ada") for i in range(100)])
        while retention.step(NOW_MS):
            pass
        assert size_on_disk(path) <= 2 * MIB
    reader = Reader(path)
    page = reader.page(Question(limit=1, order="desc"))
    assert page is not None
    assert page.next == 10_000  # the newest are kept
    reader.close()
    writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("max_bytes", [4 * MIB, 16 * MIB])
def test_the_file_and_its_log_stay_within_the_bytes_while_more_waits_than_one_batch(
    max_bytes: int, tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"
    bounds = Bounds(max_bytes, DAY_MS)
    storing = Storing(path, bounds, FakeClock(), frozenset(), lambda progress: None, False)
    writer = Writer(path, bounds)
    writer.begin("e", 0)
    retention = Retention(writer)
    text = " ".join(f"w{i}" for i in range(600))
    for burst in range(2 * max_bytes // (1000 * len(text)) + 1):
        storing.pending.extend([event(burst * 1000 + i + 1, text, "ada") for i in range(1000)])
        while storing.pending:
            while retention.step(NOW_MS):
                pass
            batch = storing.pending.take()
            assert isinstance(batch, list)
            writer.store(batch)
            assert size_on_disk(path) <= max_bytes
    writer.close()


def test_what_is_forgotten_is_in_no_page_no_search_and_no_byte_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    writer = Writer(path, Bounds(64 * MIB, DAY_MS))
    writer.begin("e", 0)
    writer.store([event(1, "keepthisword", "ada"), event(2, "forgetthisword", "bob")])
    writer.close()
    assert sum(forget(path, Forgotten(agent="bob"))) == 1
    reader = Reader(path)
    page = reader.page(Question(limit=10))
    found = reader.page(Question(limit=10, words=("forgetthisword",)))
    assert page is not None
    assert found is not None
    assert [b"keepthisword" in message for message in page.messages] == [True]
    assert (found.messages, found.matches) == ([], 0)
    reader.close()
    for file in tmp_path.iterdir():
        assert b"forgetthisword" not in file.read_bytes()
