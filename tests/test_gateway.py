"""The life of a gateway, from its start to its end."""

from pathlib import Path

import pytest
from litestar.datastructures import State

from app import gateway as module
from app.events import Clock
from app.gateway import Gateway
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
    monkeypatch.setattr(module, "_sources", fail)
    with pytest.raises(ExceptionGroup) as caught:
        async with gateway.lifespan():
            pass
    assert caught.group_contains(OSError, match="inotify")
    assert stopped == [True]
