"""The plan of the house, held: lower floors never import higher ones, and each library has its rooms."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
APP = TESTS.parent / "app"
# The rooms and the modules at the root, from the ground up. All of them are named here.
FLOORS = [
    {"errors", "events", "metrics", "redaction", "timers"},
    {"settings", "parsers", "user_parsers", "state", "log", "catalog", "webhooks"},
    {"channels", "auth"},
    {"journal", "ingest", "sources", "attention"},
    {"ws"},
    {"api"},
    {"contract", "channel_backend", "mounting", "outbound", "gateway", "plugin", "main"},
    {"server", "cli"},
    {"__init__"},
]
KNOWS = {
    "litestar": r"(__init__|main|mounting|gateway|plugin)\.py|auth/(guards|denial)\.py|api/\w+\.py"
    r"|channels/litestar_backend\.py|ws/(listener|socket)\.py|contract/(openapi|routes)\.py|server/serve\.py|cli/\w+\.py",
    "uvicorn": r"server/\w+\.py",
    "nats": r"channels/nats/\w+\.py",
    "sqlite3": r"journal/\w+\.py|cli/journal\.py",
    "click": r"(plugin)\.py|server/(serve|sockets)\.py|cli/\w+\.py",
    "prometheus_client": r"api/metrics\.py",
    "ahocorasick_rs": r"redaction/\w+\.py|channels/encoding\.py",
    "httpx": r"webhooks/http\.py|auth/key_set\.py",
    "jwt": r"auth/(key_set|jwt_tokens)\.py",
    "cryptography": r"auth/key_set\.py",
    "orjson": r"channels/encoding\.py",
    "watchfiles": r"sources/\w+\.py",
    "inotify_simple": r"sources/\w+\.py",
    "opentelemetry": r"ingest/otlp_protobuf\.py",
    "google": r"ingest/otlp_protobuf\.py",
}
LAZILY = {("plugin.py", "cli.run")}  # imported in a function, where a command line asks for it
MOST_LINES = 250
FILES = sorted(APP.rglob("*.py"))


def floor_of(name: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if name in floor)


def imports_of(path: Path) -> set[str]:
    """The absolute names that a file imports; those of the package begin with `app.`."""
    package = ["app", *path.relative_to(APP).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            found |= {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_every_room_and_every_module_at_the_root_has_its_floor() -> None:
    there = {path.stem for path in APP.glob("*.py")}
    there |= {path.parent.name for path in APP.glob("*/__init__.py")}
    assert there == set().union(*FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(APP)))
def test_a_file_imports_only_what_its_room_may_know(path: Path) -> None:
    place = path.relative_to(APP)
    own_floor = floor_of(place.with_suffix("").parts[0])
    for name in imports_of(path):
        root, *rest = name.split(".")
        if root == "app" and rest and (place.as_posix(), ".".join(rest[:2])) not in LAZILY:
            assert floor_of(rest[0]) <= own_floor, f"{place} imports {name} from above"
        if root in KNOWS:
            assert re.fullmatch(KNOWS[root], place.as_posix()), f"{place} knows {root}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(APP)))
def test_a_module_of_the_package_is_imported_relatively_and_is_short(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"(?m)^\s*(from|import) (app|sightline)\b", text)
    assert len(text.splitlines()) <= MOST_LINES, f"{path.name} holds two ideas"


def test_what_tests_share_lives_in_the_kit() -> None:
    """A test that imports another test's module hides who needs what."""
    borrowed = re.compile(r"(?m)^from (tests\.(?:\w+\.)*test_\w+|\.+test_\w+) import .*$")
    found = {path.name: borrowed.findall(path.read_text()) for path in TESTS.rglob("*.py")}
    assert {name: modules for name, modules in found.items() if modules} == {}
