"""Runs `git` in a process with bounds on time and output.

A repository's configuration is not trusted: no command here runs a hook, a pager or a file-system
monitor, and no transport is allowed, so a partial clone fetches nothing.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

COMMAND_SECONDS = 30.0
MOST_BYTES = 16 * 1024 * 1024
MOST_ERROR_BYTES = 2000
CHUNK_BYTES = 64 * 1024
# Removed: a git hook or alias that starts the gateway sets them to another repository.
REPOSITORY_VARIABLES = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_QUARANTINE_PATH",
        "GIT_SHALLOW_FILE",
        "GIT_GRAFT_FILE",
        "GIT_NAMESPACE",
        "GIT_PREFIX",
    }
)
ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    # For old versions, which do not know the variable above.
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
PROGRAM = (
    *("git", "--no-pager"),
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"),
)


class GitError(Exception):
    """A git command could not be run."""


class GitFailedError(GitError):
    """A git command ran and failed."""


class GitLimitError(GitFailedError):
    """A git command took too long or wrote too much; its output is incomplete."""


async def git(
    folder: Path, *arguments: str, lines: list[str] | None = None, missing_ok: bool = False
) -> str:
    """Run git in `folder` and return its output, decoded like `os.fsdecode`.

    Raises:
        GitError: git could not be run.
        GitFailedError: git failed (unless `missing_ok`), took over 30 seconds or wrote over 16 MiB.
    """
    output = bytearray()
    await git_stream(folder, *arguments, take=output.extend, lines=lines, missing_ok=missing_ok)
    return output.decode("utf-8", "surrogateescape")


async def git_stream(
    folder: Path,
    *arguments: str,
    take: Callable[[bytes], None],
    lines: list[str] | None = None,
    missing_ok: bool = False,
    most_bytes: int | None = None,
) -> None:
    """Run git and pass its output to `take` in pieces. Cancellation and every limit kill git.

    Raises:
        GitError, GitFailedError: as `git`; the output so far has been passed on.
    """
    environment = {k: v for k, v in os.environ.items() if k not in REPOSITORY_VARIABLES}
    try:
        process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, *arguments),
            cwd=folder,
            env=environment | ENVIRONMENT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must not reach git; a kill must reach its children
        )
    except OSError as error:
        raise GitError(f"git cannot be run in {folder}: {error}") from error
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin is not None
    assert stdout is not None
    assert stderr is not None
    errors = bytearray()
    data = "".join(f"{line}\n" for line in lines or ()).encode()
    beside = {
        asyncio.create_task(_write(stdin, data)),
        asyncio.create_task(_read(stderr, errors.extend, MOST_ERROR_BYTES)),
    }
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            limit = MOST_BYTES if most_bytes is None else most_bytes
            if not await _read(stdout, take, limit):
                raise GitLimitError(f"git {arguments[0]} wrote over {limit} bytes")
            await asyncio.wait(beside)
            await process.wait()
    except TimeoutError as error:
        raise GitLimitError(f"git {arguments[0]} took over {COMMAND_SECONDS:g} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
    if process.returncode and not missing_ok:
        message = errors.decode("utf-8", "replace").strip()
        raise GitFailedError(
            message or f"git {arguments[0]} ended with status {process.returncode}"
        )


async def _write(pipe: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(OSError):  # git ended before it read all input: its status is checked
        pipe.write(data)
        await pipe.drain()
        pipe.close()


async def _read(pipe: asyncio.StreamReader, take: Callable[[bytes], None], limit: int) -> bool:
    """Pass on up to `limit` bytes, read to the end, and return whether all bytes were passed on."""
    left = limit
    while chunk := await pipe.read(CHUNK_BYTES):
        take(chunk[: max(left, 0)])
        left -= len(chunk)
        if left < -MOST_BYTES:  # read a bit more, for git's status
            break
    return left >= 0
