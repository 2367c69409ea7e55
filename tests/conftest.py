"""Every test's loop is one that `until` can wait in; `sightline` is the package under test."""

import sys
from collections.abc import Callable

import app
from tests.kit.waiting import WatchfulLoop

# What documents and examples import by the installed name must not be a second copy of the package.
sys.modules.setdefault("sightline", app)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], WatchfulLoop]]:
    return {"watchful": WatchfulLoop}
