"""The gateway and the baselines: each a server process of its own, all under the same orders."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BUN_VERSION = "1.4.5"
BUN_FOLDER = ROOT / "build" / "bun"
BUN = BUN_FOLDER / "node_modules" / ".bin" / "bun"
LOOPS = ROOT / "build" / "loops"
UVLOOP, COMPILED, NO_JOURNAL = "--uvloop", "--compiled", "--no-journal"  # options of the gateway
TOKEN = "a-token-for-benchmarks"

TITLES = {
    "gateway": "Sightline",
    f"gateway {NO_JOURNAL}": "Sightline without its journal",
    "seed": "a send per client and event (FastAPI)",
    "channels": "Litestar `ChannelsPlugin`",
    "broadcast": "`websockets.broadcast`",
    "bun": "Bun `publish`",
}


def missing(peer: str, may_install: bool) -> str | None:
    """Why a peer cannot be measured here, or None."""
    if peer == "seed" and importlib.util.find_spec("fastapi") is None:
        return "fastapi is not installed; `make bench` installs it"
    if peer != "bun" or BUN.exists():
        return None
    if shutil.which("npm") is None:
        return "it is installed with npm, and npm is not here"
    return _install_bun() if may_install else "it is not installed; `make bench` installs it"


def _install_bun() -> str | None:
    BUN_FOLDER.mkdir(parents=True, exist_ok=True)
    options = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    command = ["npm", "install", "--prefix", str(BUN_FOLDER), *options, f"bun@{BUN_VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if BUN.exists() else f"npm could not install it: {done.stderr.strip()[-200:]}"


def wheel_of(version: str) -> Path:
    """Where `benchmarks.loops` installs the compiled wheel for a Python."""
    return LOOPS / f"compiled{version}"


def command(peer: str) -> list[str]:
    """The command that starts a peer, named before any options; the folder for its state follows."""
    if peer == "bun":
        return [str(BUN), "run", str(Path(__file__).parent / "bun.js")]
    name, *options = peer.split()
    way = ["-m"]
    if COMPILED in options:
        wheel = wheel_of("{}.{}".format(*sys.version_info))
        way = [str(ROOT / "tests/kit/installed.py"), str(wheel)]
    return [sys.executable, *way, f"benchmarks.peers.{name}"]
