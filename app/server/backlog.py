"""`Backlog`: the written bytes that a client has not received yet, and whether it receives any."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Literal

_LINUX = sys.platform == "linux"
_BYTES_ACKED = 120  # the offset of `tcpi_bytes_acked` in Linux' `struct tcp_info`


class Backlog:
    """The unsent and unacknowledged bytes of one connection, in user space and in the kernel.

    The user-space buffer alone is not enough: the kernel buffers about 256 KiB more, and keeps them
    for a quarter of an hour if the client's machine has vanished.
    """

    __slots__ = ("_acknowledged", "_raw", "_transport", "size")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._raw: socket.socket | None = transport.get_extra_info("socket")
        self.size = 0  # unacknowledged bytes at the last look
        self._acknowledged = 0

    def look(self) -> Literal["empty", "moving", "stuck"]:
        """Measure again, and return what the backlog did since the last look.

        It is stuck if it was and is not empty, and no byte was acknowledged in between.
        """
        size_before, acknowledged_before = self.size, self._acknowledged
        self.size = self._transport.get_write_buffer_size() + self._in_kernel()
        self._acknowledged = self._count_acknowledged()
        if not self.size:
            return "empty"
        moved = self._acknowledged > acknowledged_before or not size_before
        return "moving" if moved else "stuck"

    def _in_kernel(self) -> int:
        if self._raw is None:
            return 0
        try:
            size = fcntl.ioctl(self._raw.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        except OSError:  # closed, or not supported on this system
            return 0
        return int(struct.unpack("i", size)[0])

    def _count_acknowledged(self) -> int:
        """A number that grows with each acknowledged byte; exact for TCP on Linux."""
        if self._raw is not None and self._raw.family != socket.AF_UNIX and _LINUX:
            try:
                info = self._raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
            except OSError:  # closed
                return self._acknowledged
            return int(struct.unpack_from("Q", info, _BYTES_ACKED)[0])
        return -self.size
