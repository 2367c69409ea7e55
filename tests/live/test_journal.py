"""The journal over real sockets: restarts, damage, locks; what was answered with 201 is there."""

import asyncio
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.gateway import Gateway
from tests.kit.messages import receive, receive_type
from tests.kit.posts import EVENT, numbers, post
from tests.kit.waiting import until

Start = Callable[..., Coroutine[Any, Any, Gateway]]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


async def test_a_clean_restart_continues_the_epoch_and_clients_resume_without_a_gap(
    start: Start,
) -> None:
    gateway = await start()
    async with gateway.http() as http:
        answers = [(await post(http)).json() for _ in range(3)]
    epoch = gateway.bus.epoch
    await gateway.stop()
    again = await start(state_dir=gateway.settings.state_dir)
    assert (again.bus.epoch, again.bus.head) == (epoch, 3)
    async with again.connect(f"?epoch={epoch}&last_sequence_number=1") as client:
        connected = await receive(client)
        assert (connected["resumed"], connected["replayed"]) == (True, 2)
        assert [(await receive(client))["sequence_number"] for _ in range(2)] == [2, 3]
        async with again.http() as http:
            assert (await post(http)).json()["sequence_number"] == 4
            page = (await http.get("/api/events")).json()
        assert (await receive(client))["sequence_number"] == 4
    assert numbers(page) == [1, 2, 3, 4]
    assert page["events"][0]["timestamp"] == answers[0]["timestamp"]


async def test_without_the_mark_of_a_clean_stop_an_epoch_begins_and_the_old_one_stays_readable(
    start: Start,
) -> None:
    gateway = await start()
    async with gateway.http() as http:
        old = (await post(http)).json()["epoch"]
    await gateway.stop()
    (gateway.settings.state_dir / "journal.db.clean").unlink()
    again = await start(state_dir=gateway.settings.state_dir)
    assert again.bus.epoch != old
    async with again.http() as http:
        new = (await post(http)).json()
        page = (await http.get(f"/api/events?after={old}:0")).json()
        assert (page["epoch"], numbers(page), page["gap"]) == (old, [1], None)
        assert page["newer"] == f"{new['epoch']}:0"
        page = (await http.get(f"/api/events?after={page['newer']}")).json()
        assert (page["epoch"], numbers(page)) == (new["epoch"], [1])


@pytest.mark.parametrize("how", ["copied", "put back from a backup", "edited"])
async def test_a_journal_that_is_not_as_it_was_closed_gets_a_new_epoch(
    start: Start, how: str
) -> None:
    gateway = await start()
    async with gateway.http() as http:
        old = (await post(http)).json()["epoch"]
    await gateway.stop()
    folder = gateway.settings.state_dir
    if how == "copied":
        folder = folder.with_name("copy")
        shutil.copytree(gateway.settings.state_dir, folder)
    elif how == "put back from a backup":
        shutil.copy2(folder / "journal.db", folder / "backup")
        (folder / "backup").replace(folder / "journal.db")
    else:
        with sqlite3.connect(folder / "journal.db") as connection:
            connection.execute("DELETE FROM events")
        connection.close()
    again = await start(state_dir=folder)
    assert again.bus.epoch != old


async def test_a_damaged_file_is_put_aside_and_a_new_one_begun(start: Start) -> None:
    gateway = await start()
    await gateway.stop()
    folder = gateway.settings.state_dir
    (folder / "journal.db").write_bytes(b"this is no database" * 1000)
    again = await start(state_dir=folder)
    async with again.http() as http:
        await until(lambda: bool(list(folder.glob("journal.db.damaged-*"))))
        await until(lambda: not again.journal.failing)
        assert (await post(http)).status_code == 201
        assert numbers((await http.get("/api/events")).json()) == [1]


@pytest.mark.parametrize("how", ["git tracks it", "readable by others", "it holds a trigger"])
async def test_a_journal_that_a_clone_may_have_brought_is_put_aside(start: Start, how: str) -> None:
    gateway = await start()
    async with gateway.http() as http:
        assert (await post(http, "forged")).status_code == 201
    await gateway.stop()
    folder = gateway.settings.state_dir
    if how == "git tracks it":
        for command in (["init", "-q"], ["add", "-f", "journal.db"]):
            await asyncio.to_thread(git, folder, *command)
    elif how == "readable by others":
        (folder / "journal.db").chmod(0o644)
    else:
        with sqlite3.connect(folder / "journal.db") as connection:
            connection.execute("CREATE TRIGGER t AFTER INSERT ON events BEGIN SELECT 1; END")
        connection.close()
    again = await start(state_dir=folder)
    await until(lambda: bool(list(folder.glob("journal.db.damaged-*"))))
    await until(lambda: not again.journal.failing and (folder / "journal.db").exists())
    async with again.http() as http:
        assert (await post(http)).status_code == 201
        assert (await http.get("/api/events?q=forged")).json()["events"] == []


async def test_while_the_file_is_locked_events_go_on_live_and_come_into_the_journal_later(
    start: Start,
) -> None:
    gateway = await start()
    async with gateway.http() as http, gateway.connect() as client:
        assert (await post(http)).status_code == 201
        await receive_type(client, EVENT["type"])
        other = sqlite3.connect(gateway.settings.state_dir / "journal.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        await gateway.publish(1)
        assert (await receive_type(client, EVENT["type"]))["sequence_number"] == 2
        notice = await receive_type(client, "notice")
        assert notice["code"] == "journal_failing"
        assert (await http.get("/api/health")).status_code == 200
        status = (await http.get("/api/session")).json()["journal"]
        assert (status["state"], status["behind"]) == ("failing", 1)
        refused = await post(http)
        assert refused.status_code == 503
        assert refused.json()["code"] == "journal_unavailable"
        assert "locked" in refused.json()["message"]
        assert gateway.bus.head == 2  # nothing was published
        other.execute("ROLLBACK")
        other.close()
        assert (await receive_type(client, "notice"))["code"] == "journal_back"
        assert (await post(http)).json()["sequence_number"] == 3
        assert numbers((await http.get("/api/events?order=desc")).json()) == [3, 2, 1]


async def test_in_a_folder_with_other_files_git_add_leaves_ours_out(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "clone" / ".sightline"
    folder.mkdir(parents=True)
    (folder / "notes").write_text("work")
    gateway = await start(state_dir=folder, session_token=None)
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"http://127.0.0.1:{gateway.port}/api/health")).status_code == 200
    await asyncio.to_thread(git, tmp_path / "clone", "init", "-q")
    added = await asyncio.to_thread(git, tmp_path / "clone", "add", "-An", ".")
    assert set(added.split()) == {
        "add", "'.sightline/.gitignore'", "'.sightline/notes'"
    }  # fmt: skip


async def test_the_file_is_for_its_owner_alone(start: Start) -> None:
    gateway = await start()
    async with gateway.http() as http:
        await post(http)
    for path in gateway.settings.state_dir.glob("journal.db*"):
        assert path.stat().st_mode & 0o777 == 0o600, path


async def test_what_a_gateway_without_a_journal_cannot_answer_is_a_400_that_says_so(
    start: Start,
) -> None:
    gateway = await start(journal="")
    async with gateway.http() as http:
        for query in ("before=1", "order=desc", "since=2h", "q=hello", "agent=ada"):
            refused = await http.get(f"/api/events?{query}")
            assert refused.status_code == 400
            assert "SIGHTLINE_JOURNAL" in refused.json()["message"]
