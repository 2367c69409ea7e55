"""Compiles the modules that every event passes through with mypyc, into the wheel.

Only on request, as it needs a C compiler: `make wheel`, or HATCH_BUILD_HOOKS_ENABLE=1 with any
command that builds. The sources stay in the wheel, for tracebacks.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "sightline"  # the wheel's name for `app`: compiled modules hold their absolute names
HOT = ("bus", "check", "encoding", "frames", "groups", "publisher", "replay")
SETUP = """
from setuptools import setup
from mypyc.build import mypycify

options = ["--ignore-missing-imports", "--python-executable", {python!r}]
files = {files!r}
modules = mypycify(options + files, debug_level="0", group_name={package!r})
setup(name={package!r}, ext_modules=modules)
"""


class CompileHook(BuildHookInterface[Any]):
    """Hatchling's hook for the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile a copy that has the wheel's name, and add what was made of it."""
        if version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="sightline-mypyc-")
        place = Path(self._folder.name)
        sources = shutil.ignore_patterns("__pycache__", "static")
        shutil.copytree(Path(self.root) / "app", place / PACKAGE, ignore=sources)
        files = [f"{PACKAGE}/channels/{name}.py" for name in HOT]
        setup = SETUP.format(python=sys.executable, files=files, package=PACKAGE)
        command = [sys.executable, "-c", setup, "build_ext", "--inplace"]
        subprocess.run(command, cwd=place, check=True)
        built = [*place.glob("*.so"), *place.glob("*.pyd"), *(place / PACKAGE).rglob("*.so")]
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"] |= {
            str(file): file.relative_to(place).as_posix() for file in built
        }

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copy."""
        if version != "editable":
            self._folder.cleanup()
