"""The gateway and the commands of the README, as a reader starts them."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.processes import PATIENCE_S, free_port, line_with, running
from tests.snippets import ROOT, snippets

FENCES = snippets("README.md", "sh bash bash bash json console")
COMMANDS, TAIL, PUBLISH, CURL, ANSWER, TRANSCRIPT = range(6)


class Gateway:
    """A `litestar run` in a folder of its own."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.port = port
        self.process = process

    @property
    def token(self) -> str:
        return (self.folder / ".sightline/session.token").read_text().strip()

    def example(self, index: int) -> str:
        code = FENCES[index].replace("127.0.0.1:3000", f"127.0.0.1:{self.port}")
        return code.replace(".venv/bin/", f"{Path(sys.executable).parent}/")

    def terminal(self, options: str = "--json") -> list[str]:
        """The README's listener, with options of `sightline events tail`."""
        return ["bash", "-c", f"exec {self.example(TAIL).rstrip()} {options}"]

    def publish(self) -> str:
        command = ["bash", "-c", self.example(PUBLISH)]
        return subprocess.check_output(command, cwd=self.folder, text=True, timeout=PATIENCE_S)

    def curl(self) -> str:
        command = ["bash", "-c", self.example(CURL)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, timeout=PATIENCE_S)
        return done.stdout.decode()

    def post(self, path: str) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            b"",
            {"X-Session-Token": self.token},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()


@contextmanager
def gateway(
    folder: Path, app: str = "sightline:create_app", workspace: str = ""
) -> Iterator[Gateway]:
    """`litestar run`, once it serves, on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "litestar", "--app", app, "run", "--port", str(port)]
    environ = {"SIGHTLINE_WORKSPACE": workspace, "PYTHONPATH": str(ROOT)}
    with running(command, folder, **environ) as process:
        line_with(process, "Serving http")  # then the address stands in its file too
        yield Gateway(folder, port, process)
