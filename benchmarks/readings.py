"""The ways to read a socket: each takes what is there, at the next call of `read`.

The reader shares the machine with the server and must never be what limits it, so most clients are
only drained: Linux drops the bytes of a TCP socket read with MSG_TRUNC without copying them.
"""

import json
import re
import socket
from typing import Protocol

from benchmarks.events import now_us

NEEDLE = b'"sequence_number":'
READ_BYTES = 1024 * 1024
TIMED_BYTES = 64 * 1024
_SINK = bytearray(READ_BYTES)
_KEPT = 64  # bytes kept from one read to the next: a needle with its number is shorter
_BUFFER = bytearray(_KEPT + READ_BYTES)  # shared by all clients: a thousand would take a gigabyte
_VIEW = memoryview(_BUFFER)
_NUMBER = re.compile(NEEDLE + rb"(\d+),")
_SENT = re.compile(rb'"sent":(\d+),')


class Reading(Protocol):
    """One client's socket during one run."""

    fileno: int
    bytes: int  # read so far

    def read(self) -> int: ...


class Drain:
    """Counts bytes only."""

    def __init__(self, client: socket.socket) -> None:
        self.fileno = client.fileno()
        self.bytes = 0
        self._receive = client.recv_into

    def read(self) -> int:
        count = self._receive(_SINK, READ_BYTES, socket.MSG_TRUNC)
        if not count:
            raise ConnectionError("the server closed a connection")
        self.bytes += count
        return count


class Count:
    """Counts events, and keeps the first and the last number."""

    def __init__(self, client: socket.socket, begun: bytes = b"") -> None:
        self.fileno = client.fileno()
        self.bytes = self.events = self.first = self.last = self.gaps = 0
        self._receive = client.recv_into
        self._rest = b""  # the end of the bytes before
        if begun:
            _BUFFER[: len(begun)] = begun
            self._count(0, len(begun))

    def read(self) -> int:
        kept = len(self._rest)
        _BUFFER[:kept] = self._rest
        count = self._receive(_VIEW[kept:], READ_BYTES)
        if not count:
            raise ConnectionError("the server closed a connection")
        self._count(kept, count)
        return count

    def _count(self, kept: int, count: int) -> None:
        buffer, end = _BUFFER, kept + count
        # Only what ends in the new bytes: what ended before was counted then.
        self.events += buffer.count(NEEDLE, max(0, kept - len(NEEDLE) + 1), end)
        self.gaps += buffer.count(b'"gap"', max(0, kept - 4), end)
        at = buffer.rfind(NEEDLE, 0, end)
        if at >= 0 and (number := _NUMBER.match(buffer, at, end)):  # else the next read has it
            self.last = int(number[1])
        if not self.first and (number := _NUMBER.search(buffer, 0, end)):
            self.first = int(number[1])
        self._rest = bytes(_VIEW[max(0, end - _KEPT) : end])
        self.bytes += count


class Time:
    """Notes for each event how long ago it was published, in microseconds."""

    def __init__(self, client: socket.socket) -> None:
        self.fileno = client.fileno()
        self.bytes = 0
        self.latencies_us: list[int] = []
        self._receive = client.recv
        self._rest = b""

    @property
    def events(self) -> int:
        return len(self.latencies_us)

    def read(self) -> int:
        data = self._receive(TIMED_BYTES)
        now, text, end = now_us(), self._rest + data, 0
        if not data:
            raise ConnectionError("the server closed a connection")
        for sent in _SENT.finditer(text):
            self.latencies_us.append(now - int(sent[1]))
            end = sent.end()
        self._rest = text[max(end, len(text) - _KEPT) :]
        self.bytes += len(data)
        return len(data)


class Check:
    """Decodes every message and holds that the numbers go up by one."""

    def __init__(self, client: socket.socket) -> None:
        self.fileno = client.fileno()
        self.bytes = self.events = self.last = 0
        self._receive = client.recv
        self._rest = b""

    def read(self) -> int:
        data = self._receive(READ_BYTES)
        if not data:
            raise ConnectionError("the server closed a connection")
        text, at = self._rest + data, 0
        while frame := frame_at(text, at):
            start, at = frame
            number = json.loads(text[start:at])["sequence_number"]
            if self.last and number != self.last + 1:
                raise SystemExit(f"benchmarks: number {number} came after {self.last}")
            self.last = number
            self.events += 1
        self._rest = text[at:]
        self.bytes += len(data)
        return len(data)


def frame_at(text: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the unmasked frame at `at` starts and ends; None while it is cut off."""
    if len(text) < at + 2:
        return None
    start, length = at + 2, text[at + 1]
    if length >= 126:
        start = at + (4 if length == 126 else 10)
        if len(text) < start:
            return None
        length = int.from_bytes(text[at + 2 : start])
    return (start, start + length) if len(text) >= start + length else None
