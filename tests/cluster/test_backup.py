"""`deploy/backup.py` on the state folder of a gateway that is published to meanwhile."""

import stat
import subprocess
import sys
from pathlib import Path

from tests.cluster.conftest import ROOT, Fleet

BACKUP = ROOT / "deploy" / "backup.py"


def backup(state: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(BACKUP), str(state), str(target)]
    return subprocess.run(command, capture_output=True, text=True)


async def test_a_restored_backup_has_every_event_that_was_stored_before_it_and_a_new_epoch(
    fleet: Fleet, tmp_path: Path
) -> None:
    (gateway,) = await fleet.start(1, "")
    load = fleet.publish([gateway])
    await load.reaches(100)
    stored = set(load.acknowledged)
    restored = tmp_path / "g1" / ".sightline"
    restored.parent.mkdir()
    done = backup(tmp_path / "g0" / ".sightline", restored)
    assert (done.returncode, done.stderr) == (0, "")
    await load.reaches(20)  # the gateway goes on
    await load.stop()
    await gateway.kill()
    assert {stat.S_IMODE(path.stat().st_mode) for path in restored.glob("journal.db")} == {0o600}
    assert not [path.name for path in restored.iterdir() if "lock" in path.name]

    (second,) = await fleet.start(1, "")
    old = {epoch for epoch, _ in stored}
    async with second.http() as http:
        found, (epoch,) = set(), old
        place = {"epoch": epoch, "after": 0, "limit": 1000}
        page = (await http.get("/api/events", params=place)).json()
        for event in page["events"]:
            if "sequence_number" in event:
                found.add((epoch, event["sequence_number"]))
        answer = await http.post("/api/events", json={"type": "load.tick", "data": {"n": 1}})
    assert stored <= found
    assert answer.json()["epoch"] not in old, "numbers after the backup were given already"
    assert "journal_put_aside" not in second.log()


def test_a_backup_never_replaces_what_is_there(tmp_path: Path) -> None:
    done = backup(tmp_path, tmp_path)
    assert (done.returncode, "File exists" in done.stderr) == (1, True)
