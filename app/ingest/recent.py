"""What was received lately, so that nothing is published twice. Bounded; lost at a restart."""

import asyncio
from collections.abc import Iterator, MutableMapping

MAX_KEYS = 50_000  # of events
MAX_TRACES = 5_000
MAX_SESSIONS = 1_000
MOST_PUBLISHERS = 16


class Recent(MutableMapping[str, str]):
    """A mapping of at most `most` keys; a new one replaces the oldest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[str, str] = {}

    def __setitem__(self, key: str, value: str) -> None:
        self._values.pop(key, None)
        if len(self._values) >= self._most:
            del self._values[next(iter(self._values))]
        self._values[key] = value

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class RecentTelemetry:
    """The memory that hooks and OTLP share.

    `keys` are those of published events. `traces` has the session of each trace with an agent.
    `early` has the spans of traces that are not known yet.
    `hooked` are the sessions that hooks report: of these, OTLP gives the usage alone. `reading` is
    held while a request is read.
    """

    def __init__(self, reading: asyncio.Lock | None = None) -> None:
        self.keys = Recent(MAX_KEYS)
        self.traces = Recent(MAX_TRACES)
        self.early = Recent(MAX_TRACES)
        self.hooked = Recent(MAX_SESSIONS)
        self.reading = reading or asyncio.Lock()


class Recents:
    """One `RecentTelemetry` for each publisher, so that none can hold back or complete another's."""

    def __init__(self) -> None:
        self._by_name: dict[str, RecentTelemetry] = {}  # the one used last is last
        self._reading = asyncio.Lock()  # one request at a time, whoever sent it

    def of(self, name: str) -> RecentTelemetry:
        """What this publisher sent lately; at most `MOST_PUBLISHERS` are remembered."""
        found = self._by_name.pop(name, None) or RecentTelemetry(self._reading)
        if len(self._by_name) >= MOST_PUBLISHERS:
            del self._by_name[next(iter(self._by_name))]
        self._by_name[name] = found
        return found
