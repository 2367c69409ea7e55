"""The documentation: every block is run or says why not, every link leads somewhere."""

import ast
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from app.catalog.registry import Catalog
from app.errors import ErrorMessage
from app.events import Gap
from app.ws.messages import Connected, ControlMessage, Heartbeat, Notice, Pong, Subscribed
from tests.kit.processes import PATIENCE_S, free_port, line_with, running
from tests.kit.readme import COMMANDS, FENCES, Gateway, gateway
from tests.snippets import PAGES, ROOT, blocks, snippets, to_run

Wire = ControlMessage | Connected | Gap | Heartbeat | Subscribed | Pong | ErrorMessage | Notice
ENVELOPE = {"type", "timestamp", "sequence_number", "data", "metadata"}
KINDS = {"text", "json", "nginx", "sh", "bash", "console", "python", "js", "ts", "html"}
STRANGER = re.compile(r"pipx? (install|run) [^\n]*\bsightline(?!-)\b(?![\w.-])|'sightline\[")
LOGIN, VITE, TLS = snippets("docs/login.md", "sh js sh")
_, _, BROWSER, LISTEN = snippets("docs/protocol.md", "json json js python")
JOURNAL, SEARCH = snippets("docs/journal.md", "bash bash")
(ASK,) = snippets("docs/troubleshooting.md", "sh")
SET_UP, CHECK = snippets("CONTRIBUTING.md", "sh sh")
# run by clients/js/test/package.test.js, which counts them
snippets("clients/js/README.md", "js js js ts ts js")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Gateway]:
    with gateway(tmp_path) as server:
        yield server


def run(server: Gateway, code: str) -> str:
    return subprocess.run(
        ["bash", "-ec", local(server, code).replace(".venv/bin/", "")],
        cwd=server.folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    ).stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_by_a_test_or_says_why_not(page: str) -> None:
    for kind, _, not_run in blocks(page):
        assert kind in KINDS, f"{page}: {kind!r} is not one of {sorted(KINDS)}"
        assert not_run is None or len(not_run.split()) > 2, f"{page}: no reason: {not_run}"
    if any(kind != "json" for kind, _ in to_run(page)):
        tests = [path.read_text() for path in (ROOT / "tests").rglob("*.py")]
        assert any(
            f'snippets("{page}", ' in re.sub(r"\(\s+", "(", test) for test in tests
        ), f"no test runs the blocks of {page}: take them by snippets({page!r}, kinds)"


@pytest.mark.parametrize("page", PAGES)
def test_json_is_json_and_messages_are_those_of_the_protocol(page: str) -> None:
    for text in (code for kind, code in to_run(page) if kind == "json"):
        try:
            messages = [json.loads(text)]
        except json.JSONDecodeError:  # one message a line
            messages = [json.loads(line) for line in text.splitlines()]
        for message in messages:
            if "." in message.get("type", ""):
                Catalog().check(message["type"], message["data"])
                assert set(message) == ENVELOPE
            elif "type" in message:
                msgspec.convert(message, Wire)


@pytest.mark.parametrize("goal", ["run", "test"])
def test_an_old_python_is_refused_with_the_command_that_works(tmp_path: Path, goal: str) -> None:
    (tmp_path / "clients/python").mkdir(parents=True)
    for name in (
        "requirements.lock",
        "requirements-dev.lock",
        "pyproject.toml",
        "clients/python/pyproject.toml",
    ):
        (tmp_path / name).touch()
    command = ["make", "-f", str(ROOT / "Makefile"), goal, "PYTHON=false"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert f"(try: make {goal} PYTHON=python3.11)" in done.stderr


def test_commands_of_make_are_its_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for kind, code, _ in blocks(page):
            if kind in ("sh", "bash"):
                assert set(re.findall(r"\bmake ([a-z-]+)", code)) <= targets, page
    for code in (FENCES[COMMANDS], SET_UP, CHECK):
        assert all(line.startswith("make ") for line in code.splitlines())


def anchors(page: Path) -> set[str]:
    """As GitHub and the site make them from headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_a_file_and_a_heading_that_are_there(page: str) -> None:
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", (ROOT / page).read_text(), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)]*)\)|\bsrc=\"([^\"]*)\"", text)
    for link in (one or other for one, other in links):
        parts = urllib.parse.urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", f"{page}: {link}"
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), f"{page}: {link}"
            continue
        target = (ROOT / page).parent / parts.path if parts.path else ROOT / page
        assert target.is_file(), f"{page}: {link}"
        assert not parts.fragment or parts.fragment in anchors(target), f"{page}: {link}"


def test_the_architecture_names_every_module_once() -> None:
    text = (ROOT / "docs/architecture.md").read_text().partition("## Every module")[2]
    named = re.findall(r"^\| `([\w/]+\.py)` \|", text, re.M)
    there = [
        path.relative_to(ROOT / "app").as_posix()
        for path in (ROOT / "app").rglob("*.py")
        if path.read_text().strip()
    ]
    assert sorted(named) == sorted(there)


def test_what_an_event_meets_on_its_way_is_where_the_architecture_says() -> None:
    text = re.sub(r"\s+", " ", (ROOT / "docs/architecture.md").read_text())
    steps = re.findall(r"`(app/[\w/]+\.py)` `([\w.]+)`", text)
    assert len(steps) > 20
    for path, name in steps:
        node: ast.AST = ast.parse((ROOT / path).read_text())
        for part in name.split("."):
            found = [one for one in ast.iter_child_nodes(node) if getattr(one, "name", "") == part]
            assert found, f"{path} has no {name}"
            node = found[0]


@pytest.mark.parametrize("folder", ["app", "clients", "deploy", "examples", "Makefile"])
def test_no_hint_of_the_code_installs_the_distribution_of_a_stranger(folder: str) -> None:
    root = ROOT / folder
    for path in [root] if root.is_file() else root.rglob("*.*"):
        if path.suffix in {".py", ".js", ".md", ".yaml", ""} and "node_modules" not in path.parts:
            assert not STRANGER.search(path.read_text(errors="replace")), path


def test_the_reference_names_what_is_there() -> None:
    text = (ROOT / "docs/reference.md").read_text()
    names = re.findall(r"^::: (\S+)$", text, re.M)
    assert len(names) > 20
    for name in names:
        pkgutil.resolve_name(name)
    for name, members in re.findall(r"^::: (\S+)\n    options: { members: \[(.*)\]", text, re.M):
        for member in members.split(", ") if members else ():
            assert hasattr(pkgutil.resolve_name(name), member), (name, member)


@pytest.mark.slow
def test_a_refused_client_asks_for_the_reason(server: Gateway) -> None:
    answer = run(server, ASK)
    assert answer.startswith("HTTP/1.1 200")
    assert '"places_taken":0' in answer


def local(server: Gateway, code: str) -> str:
    return code.replace("127.0.0.1:3000", f"127.0.0.1:{server.port}")


@pytest.mark.slow
def test_a_small_client_in_python(server: Gateway) -> None:
    command = [sys.executable, "-c", local(server, LISTEN)]
    with running(command, server.folder) as listener:
        line_with(server.process, "client_connected")
        server.curl()
        assert line_with(listener, "workflow.started").startswith("1 ")


@pytest.mark.slow
def test_a_small_client_in_a_browser(server: Gateway) -> None:
    node = shutil.which("node")
    probe = ["--experimental-websocket", "-e", "process.exit(+(typeof WebSocket === 'undefined'))"]
    if node is None or subprocess.run([node, *probe], capture_output=True).returncode:
        pytest.skip("needs a node that has WebSocket")
    page = f"globalThis.prompt = () => '{server.token}';\n" + local(server, BROWSER)
    with running([node, "--experimental-websocket", "-e", page], server.folder) as browser:
        line_with(browser, "connected")
        server.curl()
        line_with(browser, "workflow.started")


@pytest.mark.slow
def test_the_journal_is_searched_looked_into_and_pruned(server: Gateway) -> None:
    server.curl()
    found = json.loads(run(server, SEARCH))
    assert [event["sequence_number"] for event in found["events"]] == [1]
    shown = run(server, JOURNAL)
    assert "1 events" in shown
    assert '"workflow_name":"nightly-build"' in shown  # exported to standard output
    assert '"workflow_id":"wf-42"' in (server.folder / "session.jsonl").read_text()
    assert shown.count("0 events forgotten") == 2


@pytest.mark.parametrize("page", PAGES)
def test_no_page_installs_the_distribution_of_a_stranger(page: str) -> None:
    text = (ROOT / page).read_text()
    assert not STRANGER.search(text)
    assert not re.search(r"(?m)^\s*(from|import) app\b", text), "the package is `sightline`"


@pytest.mark.slow
def test_a_login_link_is_printed(server: Gateway) -> None:
    assert run(server, LOGIN).startswith(f"http://127.0.0.1:{server.port}/login#")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
def test_over_https_it_starts_without_a_warning(tmp_path: Path) -> None:
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    port = free_port()
    code = TLS.replace("127.0.0.1:3000", f"127.0.0.1:{port}").rstrip() + f" --port {port}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with running(["bash", "-c", code], tmp_path, PATH=path, SIGHTLINE_WORKSPACE="") as process:
        for line in process.stdout:
            assert "origin_not_allowed" not in line
            if f"Serving https://127.0.0.1:{port}" in line:
                return
    raise AssertionError("it does not say that it serves")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_vite_configuration_is_a_module_that_passes_on_what_a_page_needs(
    tmp_path: Path,
) -> None:
    (tmp_path / "vite.config.mjs").write_text(VITE)
    show = "import c from './vite.config.mjs'; console.log(JSON.stringify(c.server.proxy))"
    command = ["node", "--input-type=module", "-e", show]
    proxy = json.loads(subprocess.check_output(command, cwd=tmp_path))
    assert proxy.pop("/ws") == {"target": "http://127.0.0.1:3000", "ws": True}
    (pattern,) = proxy
    for path in ("/api/session", "/api/events", "/login", "/static/login.js"):
        assert re.match(pattern, path), path
