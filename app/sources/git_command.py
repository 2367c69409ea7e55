"""Runs the `git` program: in its own process, bounded in time, whatever repository the caller is in."""

import asyncio
import os
from pathlib import Path

COMMAND_SECONDS = 30.0
# A gateway that a git hook or alias started would otherwise look at that repository.
REPOSITORY_VARIABLES = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_OBJECT_DIRECTORY",
        "GIT_NAMESPACE",
        "GIT_PREFIX",
    }
)


class GitError(Exception):
    """A git command could not be run, failed or took too long."""


async def git(
    folder: Path, *arguments: str, lines: list[str] | None = None, missing_ok: bool = False
) -> str:
    """Run git in `folder` and return its output; cancellation and the time limit kill it.

    Raises:
        GitError: it could not be run, failed (unless `missing_ok`) or took over 30 seconds.
    """
    environment = {k: v for k, v in os.environ.items() if k not in REPOSITORY_VARIABLES}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    try:
        process = await asyncio.create_subprocess_exec(
            *("git", "--no-pager", *arguments),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise GitError(str(error)) from error
    try:
        data = "".join(f"{line}\n" for line in lines or ()).encode()
        async with asyncio.timeout(COMMAND_SECONDS):
            output, errors = await process.communicate(data)
    except TimeoutError as error:
        raise GitError(f"git {arguments[0]} took too long") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode and not missing_ok:
        raise GitError(errors.decode("utf-8", "replace").strip())
    return output.decode("utf-8", "replace")
