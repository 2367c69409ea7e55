"""The wheels of gateway and client: what they hold, and that they run where nothing else is."""

import importlib.metadata
import json
import subprocess
import sys
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.live.test_process import free_port
from tests.snippets import ROOT
from tests.test_client_docs import README, SYNC
from tests.test_readme import PATIENCE_S, running, until


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The gateway's and the client's."""
    built = []
    for folder in (ROOT, ROOT / "clients/python"):
        target = tmp_path_factory.mktemp("wheel")
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
        subprocess.run(build, cwd=folder, check=True, capture_output=True)
        built += target.iterdir()
    gateway, client = built
    return gateway, client


def needed(wheel: str, packages: Path) -> set[str]:
    """What a wheel that is installed in `packages` requires without an extra, and what that requires."""
    todo, seen = [(wheel, "")], set[tuple[str, str]]()
    while todo:
        name, extra = one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        found = importlib.metadata.distributions(name=name, path=[str(packages), *sys.path])
        for text in next(iter(found)).requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                todo += [(requirement.name, extra) for extra in ("", *requirement.extras)]
    return {name for name, _ in seen} - {wheel}


def alone(home: Path, wheel: Path, name: str) -> str:
    """The python of a new environment with a wheel and, of what is installed here, what it needs.

    Nothing is fetched: what it needs is linked.
    """
    venv.create(home, with_pip=False, symlinks=True)
    python = str(home / "bin/python")
    install = ["--python", python, "install", "-q", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    for one in needed(name, packages):
        for file in importlib.metadata.files(one) or ():
            link = packages / file.parts[0]
            if file.parts[0] != ".." and not link.exists():
                link.symlink_to(Path(str(file.locate()).removesuffix(str(file))) / file.parts[0])
    return python


def test_the_wheel_carries_the_browser_client_as_it_is(wheels: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in ("sightline.js", "sightline.d.ts", "events.d.ts"):
            source = ROOT / "clients" / "js" / name
            assert wheel.read(f"sightline/client/{name}") == source.read_bytes()
        roots = {name.partition("/")[0] for name in wheel.namelist()}
        assert {root.rpartition(".")[2] for root in roots} == {"sightline", "dist-info"}


def test_the_wheels_carry_licence_and_types(wheels: tuple[Path, Path]) -> None:
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if name.endswith("/licenses/LICENSE")]
            assert wheel.read(*names) == (ROOT / "LICENSE").read_bytes()
    assert "sightline_client/py.typed" in zipfile.ZipFile(wheels[1]).namelist()


@pytest.mark.slow
def test_each_installed_alone_the_gateway_serves_and_the_client_speaks_to_it(
    wheels: tuple[Path, Path], tmp_path: Path
) -> None:
    names = ("sightline", "sightline-client")
    gateway, client = (alone(tmp_path / n, w, n) for w, n in zip(wheels, names, strict=True))
    (folder := tmp_path / "work").mkdir()

    def run(python: str, code: str) -> str:
        command = [python, "-c", code]
        return subprocess.check_output(command, cwd=folder, text=True, timeout=PATIENCE_S)

    assert run(gateway, "import app; print(app.__file__)").startswith(str(tmp_path))
    where = "import sightline_client; print(sightline_client.__file__)"
    assert run(client, where).startswith(str(tmp_path))
    port = free_port()
    command = [
        gateway,
        "-m",
        "litestar",
        "--app",
        "sightline:create_app",
        "run",
        "--port",
        str(port),
    ]
    with running(command, folder) as process:
        assert "sightline-gateway[workspace]" in until(process, "workspace_not_watched")
        until(process, "running on")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health") as answer:
            version = importlib.metadata.version("sightline-gateway")
            assert json.load(answer) == {"status": "healthy", "version": version}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/client/sightline.js") as answer:
            assert answer.read() == (ROOT / "clients/js/sightline.js").read_bytes()
        assert run(client, README[SYNC]).startswith("chat.message_sent {'role': 'user'")
