"""A gateway as its user has it: a process of its own, in a folder of its own that is a git repository."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
MOST_IN_ONE_BODY = 1000


def until(condition: Callable[[], object], what: str, timeout_s: float = 60) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout_s} s: {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """`litestar run` in `folder`; it can be killed and started again on the same port."""

    def __init__(self, folder: Path, port: int = 0, **environment: str) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / ".git").exists():
            self.git("init", "-q", "-b", "main")

    def start(self) -> None:
        """Return once it serves."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SIGHTLINE_", "UVICORN_"))}
        self._lines.clear()
        litestar = str(Path(sys.executable).parent / "litestar")
        self._process = subprocess.Popen(
            [litestar, "--app", "sightline:create_app", "run", "--port", str(self.port)],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(ROOT), **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        until(lambda: self._is_serving() or self._process.poll() is not None, "the gateway starts")
        assert self._process.poll() is None, "\n".join(self._lines)

    def kill(self) -> None:
        """As `kill -9`: clients get no close frame."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Its connections stay open and nothing comes, as when a network is cut."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)

    @property
    def link(self) -> str:
        """A fresh login link, as `sightline login` prints it."""
        return f"{self.origin}/login#{self._post('/api/tickets', b'')['ticket']}"

    @property
    def token(self) -> str:
        return (self.folder / ".sightline" / "session.token").read_text().strip()

    def publish(self, *events: tuple[str, dict[str, Any]], **metadata: str) -> int:
        """Publish events; returns the number of the last one."""
        last = 0
        for start in range(0, len(events), MOST_IN_ONE_BODY):
            part = events[start : start + MOST_IN_ONE_BODY]
            body = [{"type": type_, "data": data, "metadata": metadata} for type_, data in part]
            last = self._post("/api/events", json.dumps(body).encode())[-1]["sequence_number"]
        return last

    def say(self, *contents: str) -> int:
        """Publish a chat message each."""
        return self.publish(
            *(("chat.message_sent", {"role": "user", "content": content}) for content in contents)
        )

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True)

    def _post(self, path: str, body: bytes) -> Any:
        headers = {"X-Session-Token": self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(self.origin + path, body, headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request) as answer:
            return json.load(answer)

    def _is_serving(self) -> bool:
        return any("sightline login" in line for line in self._lines)

    def _read(self, process: subprocess.Popen[str]) -> None:
        with process.stdout:
            for line in process.stdout:
                self._lines.append(line.rstrip())
