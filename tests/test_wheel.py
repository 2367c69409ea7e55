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

NAMES = ("sightline", "sightline-client")


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


def needed(*names: str) -> set[str]:
    """The distributions that these require without any extra, and so on; not these themselves."""
    found: set[str] = set()
    left = [(name, "") for name in names]
    while left:
        name, extra = left.pop()
        for text in importlib.metadata.requires(name) or ():
            one = Requirement(text)
            if one.marker and not one.marker.evaluate({"extra": extra}):
                continue
            left += [(one.name, extra) for extra in ("", *one.extras) if one.name not in found]
            found.add(one.name)
    return found - set(names)


@pytest.fixture(scope="module")
def python(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of a new environment: the wheels, and of what is installed here, what they need.

    Nothing is fetched: what they need is linked.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin/python"
    install = ["--python", str(python), "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([sys.executable, "-m", "pip", *install, *wheels], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    for name in needed(*NAMES):
        for file in importlib.metadata.files(name) or ():
            link = packages / file.parts[0]
            if file.parts[0] != ".." and not link.exists():
                link.symlink_to(
                    Path(str(file.locate())).parents[len(file.parts) - 1] / file.parts[0]
                )
    return python


def test_the_wheel_carries_the_browser_client_as_it_is(wheels: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in ("sightline.js", "sightline.d.ts", "events.d.ts"):
            source = ROOT / "clients" / "js" / name
            assert wheel.read(f"app/client/{name}") == source.read_bytes()
        roots = {name.partition("/")[0] for name in wheel.namelist()}
        assert {root.rpartition(".")[2] for root in roots} == {"app", "dist-info"}


def test_the_wheels_carry_licence_and_types(wheels: tuple[Path, Path]) -> None:
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if name.endswith("/licenses/LICENSE")]
            assert wheel.read(*names) == (ROOT / "LICENSE").read_bytes()
    assert "sightline_client/py.typed" in zipfile.ZipFile(wheels[1]).namelist()


def test_installed_without_extras_the_gateway_serves_and_the_client_speaks_to_it(
    python: Path, tmp_path: Path
) -> None:
    where = "import app, sightline_client; print(app.__file__, sightline_client.__file__)"
    found = subprocess.check_output([python, "-c", where], cwd=tmp_path, text=True).split()
    assert all(path.startswith(str(python.parent.parent)) for path in found), found
    port = free_port()
    command = [*map(str, (python, "-m")), "litestar", "--app", "app:create_app", "run"]
    with running([*command, "--port", str(port)], tmp_path) as process:
        assert "sightline[workspace]" in until(process, "workspace_not_watched")
        until(process, "running on")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health") as answer:
            version = importlib.metadata.version("sightline")
            assert json.load(answer) == {"status": "healthy", "version": version}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/client/sightline.js") as answer:
            assert answer.read() == (ROOT / "clients/js/sightline.js").read_bytes()
        heard = subprocess.check_output(
            [python, "-c", README[SYNC]], cwd=tmp_path, text=True, timeout=PATIENCE_S
        )
        assert heard.startswith("chat.message_sent {'role': 'user'")
