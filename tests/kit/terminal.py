"""`sightline events …` as a process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.kit.waiting import WATCHDOG_S

Process = asyncio.subprocess.Process
PIPE = asyncio.subprocess.PIPE
PATIENCE_S = WATCHDOG_S
SIGHTLINE = str(Path(sys.executable).with_name("sightline"))


@asynccontextmanager
async def sightline(folder: Path, *words: str, **options: Any) -> AsyncIterator[Process]:
    """A command of `sightline events`; killed should it still run in the end."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SIGHTLINE", "LITESTAR"))}
    options = {"stdin": asyncio.subprocess.DEVNULL, "stdout": PIPE, "stderr": PIPE, **options}
    process = await asyncio.create_subprocess_exec(
        *(SIGHTLINE, "events", *words),
        cwd=folder,
        env={**inherited, "TZ": "UTC", **options.pop("env", {})},
        **options,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(folder: Path, *words: str, said: bytes | None = None) -> tuple[int, str, str]:
    """Run a command to its end: its status and what it said."""
    options = {} if said is None else {"stdin": PIPE}
    async with sightline(folder, *words, **options) as process:
        out, err = await asyncio.wait_for(process.communicate(said), PATIENCE_S)
    assert process.returncode is not None
    assert "Traceback" not in err.decode()
    return process.returncode, out.decode(), err.decode()


async def line(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
