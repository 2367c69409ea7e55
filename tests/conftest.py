"""Every test's loop is one that `until` can wait in; `sightline` is the package under test."""

import gc
import sys
from collections.abc import Callable

from hypothesis import HealthCheck, settings

import app
from tests.kit.waiting import WatchfulLoop

# What documents and examples import by the installed name must not be a second copy of the package.
sys.modules.setdefault("sightline", app)

# `make test` tries the same few examples each time and takes no example's time; `make test-slow` tries
# many new ones.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", settings.get_profile("steady"), derandomize=False, max_examples=100
)
settings.load_profile("steady")


def pytest_collection_finish() -> None:
    """Spare the garbage collector what the whole run keeps: a tenth of the time."""
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], WatchfulLoop]]:
    return {"watchful": WatchfulLoop}
