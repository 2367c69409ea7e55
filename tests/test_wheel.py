"""The wheels of gateway and client: what they hold, and that they run where nothing else is installed."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.kit.http import TOKEN
from tests.kit.processes import PATIENCE_S, free_port, line_with, running
from tests.snippets import ROOT, snippets

GATEWAY = "sightline-gateway"
SYNC = snippets("clients/python/README.md", "sh python python python python")[-1]


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


def test_the_gateways_wheel_holds_one_package_named_sightline_with_the_browser_client_in_it(
    wheels: tuple[Path, Path],
) -> None:
    with zipfile.ZipFile(wheels[0]) as wheel:
        for name in ("sightline.js", "sightline.d.ts", "events.d.ts"):
            source = ROOT / "clients" / "js" / name
            assert wheel.read(f"sightline/client/{name}") == source.read_bytes()
        roots = {name.partition("/")[0] for name in wheel.namelist()}
    version = importlib.metadata.version(GATEWAY)
    assert roots == {"sightline", f"sightline_gateway-{version}.dist-info"}


def test_without_the_switch_the_wheel_is_pure(wheels: tuple[Path, Path]) -> None:
    assert wheels[0].name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheels[0]).namelist() if name.endswith(".so")]


def test_a_source_distribution_can_be_compiled(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert [name for name in archive.getnames() if name.endswith("/hatch_build.py")]


def test_the_wheels_carry_licence_and_types(wheels: tuple[Path, Path]) -> None:
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if name.endswith("/licenses/LICENSE")]
            assert wheel.read(*names) == (ROOT / "LICENSE").read_bytes()
    assert "sightline_client/py.typed" in zipfile.ZipFile(wheels[1]).namelist()


# Its package is linked, so the script that pip would write beside it is missing.
LITESTAR = """
from importlib.metadata import entry_points
(litestar,) = entry_points(group="console_scripts", name="litestar")
litestar.load()()
"""


@pytest.fixture(scope="module")
def installed(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the gateway alone."""
    home = tmp_path_factory.mktemp("gateway")
    python = Path(alone(home, wheels[0], GATEWAY))
    (litestar := python.with_name("litestar")).write_text(f"#!{python}\n{LITESTAR}")
    litestar.chmod(0o755)
    return python.parent


@contextmanager
def serving(command: list[str], folder: Path) -> Iterator[str]:
    """The address of a gateway that a command of the environment serves."""
    port = free_port()
    with running([*command, "run", "--port", str(port)], folder, PYTHONPATH="") as process:
        line_with(process, "running on")
        yield f"http://127.0.0.1:{port}"


def fetch(url: str, body: bytes | None = None, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return answer.read()


@pytest.mark.slow
def test_each_installed_alone_the_gateway_serves_and_the_client_speaks_to_it(
    installed: Path, wheels: tuple[Path, Path], tmp_path: Path
) -> None:
    """`sightline run` is all it takes to a live console, and `sightline_client` publishes to it."""
    client = alone(tmp_path / "client", wheels[1], "sightline-client")
    (folder := tmp_path / "work").mkdir()

    def run(python: str, code: str) -> str:
        command = [python, "-c", code]
        environ = {**os.environ, "PYTHONPATH": ""}
        return subprocess.check_output(
            command, cwd=folder, env=environ, text=True, timeout=PATIENCE_S
        )

    where = "import {0}; print({0}.__file__)"
    assert str(installed.parent) in run(str(installed / "python"), where.format("sightline"))
    assert str(tmp_path) in run(client, where.format("sightline_client"))
    with serving([str(installed / "sightline")], folder) as url:
        health = json.loads(fetch(f"{url}/api/health"))
        version = importlib.metadata.version(GATEWAY)
        assert (health["status"], health["version"]) == ("healthy", version)
        assert b"<title>" in fetch(url)
        script = (ROOT / "clients/js/sightline.js").read_bytes()
        assert fetch(f"{url}/client/sightline.js") == script
        assert run(client, SYNC).startswith("chat.message_sent {'role': 'user'")


BOARD = """
from litestar import Litestar, post
from sightline import EventPublisher, Settings, SightlinePlugin

@post("/say")
async def say(publisher: EventPublisher) -> int:
    event = await publisher.publish("chat.message_sent", {"role": "user", "content": "hello"})
    return event.sequence_number

settings = Settings(session_token="TOKEN", workspace=None)
app = Litestar([say], plugins=[SightlinePlugin(settings)])
""".replace("TOKEN", TOKEN)
PACKAGE = {"app/__init__.py": "from app.board import app as app\n", "app/board.py": BOARD}
OWN = {
    "a module": {"app.py": BOARD},
    "a package": PACKAGE,
    "both": {**PACKAGE, "app.py": "raise RuntimeError('Python prefers the package')"},
}


@pytest.mark.slow
@pytest.mark.parametrize("own", OWN)
def test_an_application_that_is_called_app_embeds_the_installed_gateway_and_publishes(
    installed: Path, tmp_path: Path, own: str
) -> None:
    for name, text in OWN[own].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with serving([str(installed / "litestar")], tmp_path) as url:
        assert fetch(f"{url}/say", b"") == b"1"
        answer = fetch(f"{url}/api/events", **{"X-Session-Token": TOKEN})
    (event,) = json.loads(answer)["events"]
    assert event["data"] == {"role": "user", "content": "hello"}
