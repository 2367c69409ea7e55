"""The units of `deploy/`: how far systemd says that they are confined, and both programs under it."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT, TOKEN, GatewayProcess, holds
from tests.kit import confined
from tests.kit.processes import free_ports
from tests.kit.waiting import WATCHDOG_S
from tests.nats_server import BINARY, NatsServer

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 20  # tenths: `systemd-analyze security` gives 0 to 10
PROBE = """
import mmap, os, socket
def allowed(attempt):
    try:
        attempt()
    except OSError:
        return False
    return True
print([name for name, attempt in {
    "state": lambda: open("state", "w"),
    "machine": lambda: open("/etc/sightline-probe", "w"),
    "tmp": lambda: open("/tmp/sightline-probe", "w"),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "tcp": socket.socket,
    "code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "owner": lambda: os.chown("state", 1, 1),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 1),
}.items() if allowed(attempt)])
"""


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_counts_the_unit_as_confined(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name.replace("@.", "@3001.")
    copy.write_text(unit.read_text())
    most = f"--threshold={MOST_EXPOSED}"
    done = subprocess.run(
        [str(ANALYZE), "security", "--no-pager", "--offline=true", most, str(copy)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_bounds_memory_tasks_and_the_mode_of_files(unit: Path) -> None:
    lines = confined.directives(unit)
    for name in ("MemoryMax", "TasksMax", "LimitNOFILE"):
        assert lines[name][0] not in ("", "infinity"), name
    assert (lines["UMask"], lines["StateDirectoryMode"]) == (["0077"], ["0700"])


def confine(unit: Path, folder: Path) -> list[str]:
    """The words before a command that confine it as the unit does."""
    return [sys.executable, "-m", "tests.kit.confined", str(unit), str(folder), "--"]


class ConfinedGateway(GatewayProcess):
    """The command of the unit, confined as the unit says."""

    async def start(self) -> GatewayProcess:
        self._folder.mkdir()
        unit = DEPLOY / "sightline@.service"
        (line,) = confined.directives(unit)["ExecStart"]
        command = line.replace("%i", str(self.port)).split()
        command[0] = str(BINARY.parent / Path(command[0]).name)
        settings = {"STATE_DIR": str(self._folder), **self._settings}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SIGHTLINE_")}
        environ = kept | {f"SIGHTLINE_{name}": value for name, value in settings.items()}
        with (self._folder / "gateway.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *confine(unit, self._folder),
                *command,
                env=environ,
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        return self


class ConfinedNats(NatsServer):
    """The server of `deploy/nats.conf`, confined as its unit says."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(1)[0]
        self.url = f"nats://gateway:p1@localhost:{self.port}"
        self._environ = {
            "NATS_LISTEN": f"127.0.0.1:{self.port}",
            "NATS_NAME": "n1",
            "NATS_STORE": str(folder),
            **{
                f"NATS_{user}_PASSWORD": "p1"
                for user in ("GATEWAY", "PUBLISHER", "TOKENS", "OPERATOR")
            },
        }
        words = [str(BINARY), "--config", str(DEPLOY / "nats.conf")]
        self._command = [*confine(DEPLOY / "nats.service", folder), *words]
        self.start()

    def start(self) -> None:
        environ = os.environ | self._environ
        self.process = subprocess.Popen(
            self._command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL
        )


needs_root = pytest.mark.skipif(
    not confined.possible(), reason="needs root, libseccomp and systemd-analyze"
)


@needs_root
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_confined_program_can_do_what_it_must_and_nothing_else(
    unit: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [*confine(unit, tmp_path), sys.executable, "-c", PROBE],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "['state', 'tcp']", done.stderr


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty repository."""
    subprocess.run(["git", "init", "-q", str(tmp_path / "workspace")], check=True)
    return tmp_path / "workspace"


def commit(workspace: Path) -> None:
    """Write a file and commit it."""
    (workspace / "note.txt").write_text("a note")
    git = ["git", "-C", str(workspace), "-c", "user.name=Ada", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "Add a note"], check=True)


@pytest.fixture
async def gateway(tmp_path: Path, workspace: Path) -> AsyncIterator[ConfinedGateway]:
    """A confined gateway on a confined NATS, with a journal, that watches `workspace`."""
    store = tmp_path / "nats"
    store.mkdir()
    nats = ConfinedNats(store).ready()
    gateway = ConfinedGateway(
        tmp_path / "gateway",
        nats.url,
        WORKSPACE=str(workspace),
        JOURNAL="journal.db",
    )
    try:
        await gateway.start()
        await gateway.ready()
        yield gateway
    finally:
        await gateway.kill()
        nats.kill()


@needs_root
async def test_a_confined_gateway_sees_files_and_commits_and_stores_events(
    gateway: ConfinedGateway, workspace: Path, tmp_path: Path
) -> None:
    seen: set[str] = set()
    await holds(lambda: all(word in gateway.log() for word in ("files_watched", "commits_watched")))
    async with gateway.socket() as socket, asyncio.timeout(WATCHDOG_S):
        connected = json.loads(await socket.recv())
        await asyncio.to_thread(commit, workspace)
        async with gateway.http() as http:
            answer = await http.post("/api/events", json={"type": "load.tick", "data": {"n": 1}})
            assert answer.status_code == 201
            while not seen >= {"file.created", "git.commit_created", "load.tick"}:
                seen.add(json.loads(await socket.recv())["type"])
            page = await http.get("/api/events", params={"q": "Ada"})
    assert connected["type"] == "connected"
    assert "git.commit_created" in page.text
    state = tmp_path / "gateway"
    for name in ("journal.db", "gateway.log"):
        assert (state / name).is_file()
    assert TOKEN not in gateway.log()
    async with asyncio.timeout(WATCHDOG_S):
        gateway.process.terminate()
        await gateway.process.wait()
    assert "Traceback" not in gateway.log()
    assert "sightline" in gateway.log()
