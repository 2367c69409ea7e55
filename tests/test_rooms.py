"""The house's plan, held: lower floors never import higher ones, frameworks stay in their rooms."""

import ast
import re
from pathlib import Path

import pytest

APP = Path(__file__).parent.parent / "app"
FLOORS = {"auth": 1, "channels": 1, "ws": 2, "api": 3, "sources": 3}
TOP = {
    *("__init__", "main", "front", "gateway", "plugin", "cli"),
    *("discovery", "terminal", "openapi", "asyncapi"),
}
KNOW_LITESTAR = re.compile(
    r"__init__.py|(main|front|gateway|plugin|cli|openapi).py|auth/(guards|denial).py"
    r"|channels/litestar_backend.py|ws/listener.py|api/\w+.py"
)
KNOW_UVICORN = re.compile(r"cli.py|ws/uvicorn_\w+.py")
FILES = sorted(APP.rglob("*.py"))


def floor_of(parts: tuple[str, ...]) -> int:
    if parts[0] in FLOORS:
        return FLOORS[parts[0]]
    return 4 if parts[0] in TOP else 0


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(APP)))
def test_a_file_imports_only_what_its_room_may_know(path: Path) -> None:
    place = path.relative_to(APP)
    own_floor = floor_of(place.with_suffix("").parts)
    for name in imports_of(path):
        root, *rest = name.split(".")
        if root == "app" and rest:
            assert floor_of(tuple(rest)) <= own_floor, f"{place} imports {name} from above"
        if root == "litestar":
            assert KNOW_LITESTAR.fullmatch(place.as_posix()), f"{place} knows Litestar"
        if root == "uvicorn":
            assert KNOW_UVICORN.fullmatch(place.as_posix()), f"{place} knows uvicorn"
