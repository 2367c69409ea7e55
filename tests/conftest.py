"""Every test's loop is one that `until` can wait in."""

from collections.abc import Callable

from tests.waiting import WatchfulLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], WatchfulLoop]]:
    return {"watchful": WatchfulLoop}
