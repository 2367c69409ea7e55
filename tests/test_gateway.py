"""The life of a gateway, from its start to its end."""

from pathlib import Path

import pytest
from litestar.datastructures import State

from app import gateway as module
from app.events import Clock
from app.gateway import Gateway
from app.main import create_app
from app.settings import Settings


async def test_a_watcher_that_cannot_be_made_leaves_no_backend_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(Settings(state_dir=tmp_path / "state", workspace=tmp_path), Clock(), State())
    stopped: list[bool] = []

    async def stop() -> None:
        stopped.append(True)

    def fail(*_: object) -> None:
        raise OSError("no more inotify instances")

    monkeypatch.setattr(gateway.backend, "stop", stop)
    monkeypatch.setattr(module, "sources_of", fail)
    with pytest.raises(ExceptionGroup) as caught:
        async with gateway.lifespan():
            pass
    assert caught.group_contains(OSError, match="inotify")
    assert stopped == [True]


@pytest.mark.parametrize(("workspace", "why"), [("nope", "does not exist"), ("file", "is not a")])
async def test_a_workspace_that_is_no_folder_ends_the_start_in_one_line(
    tmp_path: Path, workspace: str, why: str
) -> None:
    (tmp_path / "file").touch()
    app = create_app(Settings(state_dir=tmp_path / "state", workspace=tmp_path / workspace))
    sent: list[dict[str, str]] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, str]) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)  # as a server does
    (answer,) = sent
    assert answer["type"] == "lifespan.startup.failed"
    assert answer["message"].startswith("the gateway did not start: SIGHTLINE_WORKSPACE: ")
    assert f"{why}" in answer["message"]
    assert "\n" not in answer["message"]
    assert not (tmp_path / "state").exists()
