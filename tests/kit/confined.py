"""Run a program under the restrictions of a systemd unit, where no systemd runs.

`python -m tests.kit.confined UNIT FOLDER -- COMMAND…` does what could break a program: the machine
read-only but for FOLDER, few devices and processes, no capability, a user namespace, the address
families and system calls that the unit lists, no writable and executable memory. It needs root,
libseccomp and `systemd-analyze`, which knows the sets of system calls.
"""

import ctypes
import errno
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

SECCOMP = "libseccomp.so.2"
ALLOW, ERRNO, EQUAL, MASKED = 0x7FFF0000, 0x00050000, 4, 7
MS_NOSUID, MS_BIND, MS_REC, MS_PRIVATE = 2, 4096, 16384, 1 << 18
NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000
NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
MOUNT_SETATTR, RECURSIVE, READ_ONLY = 442, 0x8000, 1
CAPBSET_DROP, NO_NEW_PRIVS, CAPABILITIES = 24, 38, 41
FAMILIES = 46
WRITE, EXECUTE = 2, 4
DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


class _Compare(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


class _Attributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "fd"))


def possible() -> bool:
    """Whether this machine and user can confine a program."""
    if os.getuid() or not shutil.which("systemd-analyze") or not shutil.which("unshare"):
        return False
    try:
        ctypes.CDLL(SECCOMP)
    except OSError:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def directives(unit: Path) -> dict[str, list[str]]:
    """The unit's lines by name, in order."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.M):
        found.setdefault(name, []).append(value)
    return found


def system_calls(lines: list[str]) -> set[str]:
    """What the `SystemCallFilter=` lines allow, by name."""
    allowed = _expand(["@default"])
    for line in lines:
        names = _expand(line.removeprefix("~").split())
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def _expand(names: Iterable[str]) -> set[str]:
    found = set()
    for name in names:
        if name.startswith("@"):
            done = subprocess.run(
                ["systemd-analyze", "syscall-filter", "--no-pager", name],
                capture_output=True,
                text=True,
                check=True,
            )
            lines = (line.strip() for line in done.stdout.splitlines()[1:])
            found |= _expand(line for line in lines if line and not line.startswith("#"))
        else:
            found.add(name)
    return found


def _done(status: int) -> None:
    if status < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    arguments = (text.encode() for text in (source, target, kind))
    _done(_libc.mount(*arguments, ctypes.c_ulong(flags), data.encode()))


def _read_only(path: str, yes: bool) -> None:
    attributes = _Attributes(READ_ONLY if yes else 0, 0 if yes else READ_ONLY, 0, 0)
    size = ctypes.sizeof(attributes)
    where = (-100, path.encode(), RECURSIVE if yes else 0)
    _done(_libc.syscall(MOUNT_SETATTR, *where, ctypes.byref(attributes), size))


def hide_files(folder: str, only_processes: bool) -> None:
    """Give the process a machine of its own, read-only but for `folder`."""
    _done(_libc.unshare(NEW_MOUNTS))
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    _mount(folder, folder, "", MS_BIND)
    _mount("tmpfs", "/mnt", "tmpfs", MS_NOSUID)
    for name in DEVICES:
        Path("/mnt", name).touch()
        _mount(f"/dev/{name}", f"/mnt/{name}", "", MS_BIND)
    Path("/mnt/fd").symlink_to("/proc/self/fd")
    _mount("/mnt", "/dev", "", MS_BIND | MS_REC)
    hidden = "hidepid=invisible" + (",subset=pid" if only_processes else "")
    _mount("proc", "/proc", "proc", MS_NOSUID, hidden)
    _read_only("/", True)
    for path in ("/proc", folder):
        _read_only(path, False)


def drop_privileges() -> None:
    """A user namespace with one user, no capability, and no way to get one."""
    user, group = os.getuid(), os.getgid()
    _done(_libc.unshare(NEW_USERS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    for capability in range(CAPABILITIES):
        _done(_libc.prctl(CAPBSET_DROP, capability, 0, 0, 0))
    _done(_libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))


class Filter:
    """A filter of system calls: `default` for every call that no rule names."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL(SECCOMP)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))

    def add(self, action: int, name: str, *compare: _Compare) -> None:
        """Decide on one call; the name of another architecture's is ignored."""
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            array = (_Compare * len(compare))(*compare)
            action_ = ctypes.c_uint32(action)
            add = self._library.seccomp_rule_add_array
            assert add(self._context, action_, number, len(compare), array) == 0, name

    def load(self) -> None:
        """Bind this process and what it starts, for ever."""
        assert self._library.seccomp_load(self._context) == 0


def filter_calls(lines: dict[str, list[str]]) -> None:
    """The unit's filters, memory and address families."""
    listed = Filter(ERRNO | errno.EPERM)
    for name in system_calls(lines["SystemCallFilter"]):
        listed.add(ALLOW, name)
    rest = Filter(ALLOW)
    families = {int(getattr(socket, name)) for name in lines["RestrictAddressFamilies"][0].split()}
    for family in set(range(FAMILIES)) - families:
        rest.add(ERRNO | errno.EAFNOSUPPORT, "socket", _Compare(0, EQUAL, family, 0))
    if lines.get("MemoryDenyWriteExecute") == ["yes"]:
        both = WRITE | EXECUTE
        rest.add(ERRNO | errno.EPERM, "mmap", _Compare(2, MASKED, both, both))
        rest.add(ERRNO | errno.EPERM, "mprotect", _Compare(2, MASKED, EXECUTE, EXECUTE))
    if lines.get("RestrictNamespaces") == ["yes"]:
        rest.add(ERRNO | errno.ENOSYS, "clone3")
        rest.add(ERRNO | errno.EPERM, "setns")
        for flag in NAMESPACES:
            rest.add(ERRNO | errno.EPERM, "clone", _Compare(0, MASKED, flag, flag))
            rest.add(ERRNO | errno.EPERM, "unshare", _Compare(0, MASKED, flag, flag))
    for one in (rest, listed):  # the last one allows no further filter
        one.load()


def main(unit: Path, folder: str, command: list[str]) -> None:
    """Confine this process, then become the command."""
    lines = directives(unit)
    hide_files(folder, lines.get("ProcSubset") == ["pid"])
    drop_privileges()
    os.umask(int(lines["UMask"][0], 8))
    filter_calls(lines)
    os.chdir(folder)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[4:])
