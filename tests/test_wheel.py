"""The wheel holds what the gateway serves beside its own package."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_carries_the_browser_client_as_it_is(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = tmp_path.iterdir()
    with zipfile.ZipFile(path) as wheel:
        for name in ("sightline.js", "sightline.d.ts", "events.d.ts"):
            source = ROOT / "clients" / "js" / name
            assert wheel.read(f"app/client/{name}") == source.read_bytes()
        roots = {name.partition("/")[0] for name in wheel.namelist()}
        assert {root.rpartition(".")[2] for root in roots} == {"app", "dist-info"}
