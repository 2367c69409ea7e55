"""`python tests/kit/installed.py FOLDER MODULE [ARGUMENT ...]`: runs a module on an installed wheel.

The wheel's `sightline`, from FOLDER, is also the `app` that tests and benchmarks import.
"""

import importlib
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PACKAGE = "sightline"


class SecondName(MetaPathFinder, Loader):
    """Finds `app.x` where `sightline.x` is: one module with two names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname.partition(".")[0] == "app" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(PACKAGE + spec.name.removeprefix("app"))
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # it has run, under its own name


def main() -> None:
    """Take `sightline` from the folder, and everything else from the checkout."""
    _, folder, name, *arguments = sys.argv
    sys.path[0] = folder  # it was `tests/kit`
    sys.path.append(str(ROOT))
    sys.meta_path.insert(0, SecondName())
    found = importlib.import_module(PACKAGE).__file__ or ""
    if not Path(found).is_relative_to(Path(folder).resolve()):
        raise SystemExit(f"{PACKAGE} is in {found}, not in {folder}")
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
