"""The journal's disk: full, freed, read-only, too slow; the live stream goes on through all of it."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.journal import pending
from app.journal.writer import Writer
from tests.kit.gateway import Gateway, Start
from tests.kit.messages import receive_type
from tests.kit.posts import EVENT, numbers, post
from tests.kit.waiting import until

TYPE = EVENT["type"]


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=2m,mode=0700", "journal-test", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    file = folder / "fill"
    with file.open("wb", buffering=0) as out:
        try:
            while out.write(bytes(4096)) == 4096:
                pass
        except OSError:
            return file
    return file


async def pages(http: Any, query: str = "order=asc") -> tuple[list[int], list[dict[str, Any]]]:
    """All numbers of the current epoch and the gaps among them."""
    found: list[int] = []
    gaps: list[dict[str, Any]] = []
    while True:
        page = (await http.get(f"/api/events?{query}")).json()
        found += numbers(page)
        gaps += [page["gap"]] if page["gap"] else []
        if page["newer"] is None:
            return found, gaps
        query = f"order=asc&after={page['newer']}"


async def metrics(http: Any) -> dict[str, float]:
    lines = (await http.get("/metrics")).text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("sightline_journal_"))
    return {name: float(value) for name, value in found.items()}


async def test_a_full_disk_stops_nothing_live_and_what_is_lost_is_a_gap(
    start: Start, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MAX_WAITING", 5)
    gateway: Gateway = await start(journal=str(disk / "journal.db"))
    async with gateway.http() as http, gateway.connect() as client:
        assert (await post(http)).status_code == 201
        filler = fill(disk)
        waited = await post(http, "x" * 50_000)  # it goes out live, and then cannot be stored
        assert waited.status_code == 503
        assert "went out live" in waited.json()["message"]
        assert (await receive_type(client, "notice"))["code"] == "journal_failing"
        refused = await post(http)
        assert (refused.status_code, refused.json()["code"]) == (503, "journal_unavailable")
        assert "full" in refused.json()["message"]
        assert gateway.bus.head == 2
        await gateway.publish(10)
        while (await receive_type(client, TYPE))["sequence_number"] < 12:
            pass
        assert (await http.get("/api/health")).status_code == 200
        status = (await http.get("/api/session")).json()["journal"]
        assert (status["state"], status["behind"]) == ("failing", 11)
        assert status["lost"] >= 5  # one more if the thread has just looked again
        assert "full" in status["reason"]
        filler.unlink()
        assert (await receive_type(client, "notice"))["code"] == "journal_back"
        assert (await post(http)).json()["sequence_number"] == 13
        found, gaps = await pages(http)
        lost = [
            n
            for gap in gaps
            for n in range(gap["from_sequence_number"], gap["to_sequence_number"] + 1)
        ]
        assert {gap["reason"] for gap in gaps} == {"not_stored"}
        assert 5 <= len(lost) == (await metrics(http))["sightline_journal_lost_total"] <= 6
        assert sorted(found + lost) == list(range(1, 14))


async def test_a_read_only_disk_is_said_waited_for_and_written_to_when_it_can_be(
    start: Start, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MAX_WAITING", 5)
    mount("-o", "remount,ro", str(disk))
    gateway: Gateway = await start(journal=str(disk / "journal.db"))
    await until(lambda: gateway.journal.failing)
    async with gateway.http() as http, gateway.connect() as client:
        assert (await receive_type(client, "notice"))["code"] == "journal_failing"
        assert (await post(http)).status_code == 503
        await gateway.publish(20)
        await receive_type(client, TYPE)
        assert gateway.journal.status.lost == 15
        mount("-o", "remount,rw", str(disk))
        assert (await receive_type(client, "notice"))["code"] == "journal_back"
        found, gaps = await pages(http)
        assert found[-1] == 20
        assert [gap["reason"] for gap in gaps] == ["not_stored"]


async def test_a_disk_that_hangs_delays_no_one_live_and_the_oldest_are_dropped(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MAX_WAITING_BYTES", 20_000)
    hangs, real = threading.Event(), Writer.store
    hangs.set()

    def store(self: Writer, events: Any) -> None:
        hangs.wait()
        real(self, events)

    monkeypatch.setattr(Writer, "store", store)
    gateway: Gateway = await start()
    async with gateway.http() as http, gateway.connect() as client:
        hangs.clear()
        try:
            await gateway.publish(100, "x" * 1000)
            while (await receive_type(client, TYPE))["sequence_number"] < 100:
                pass
            await until(lambda: gateway.journal.status.lost > 50)
            assert not gateway.journal.failing  # nothing has failed yet
        finally:
            hangs.set()
        found, gaps = await pages(http)
        lost = sum(gap["dropped"] for gap in gaps)
        assert lost == gateway.journal.status.lost
        assert len(found) == 100 - lost


async def test_a_second_gateway_on_the_same_file_says_so_and_stays_live(
    start: Start, tmp_path: Path
) -> None:
    first: Gateway = await start(journal=str(tmp_path / "journal.db"))
    async with first.http() as http:
        assert (await post(http)).status_code == 201
    second: Gateway = await start(
        journal=str(tmp_path / "journal.db"), state_dir=tmp_path / "other"
    )
    await until(lambda: second.journal.failing)
    async with second.http() as http, second.connect() as client:
        await receive_type(client, "connected")
        await second.publish(1)
        await receive_type(client, TYPE)
        refused = await post(http)
        assert refused.status_code == 503
        assert "another gateway writes" in refused.json()["message"]
    await first.stop()
    await until(lambda: not second.journal.failing)
    async with second.http() as http:
        assert (await post(http)).status_code == 201
