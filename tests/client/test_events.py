"""The event classes of the Python client, and what a type checker reports to their user."""

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from sightline_client import Event
from sightline_client.events import DATA_CLASSES, WorkflowStarted
from sightline_client.messages import decode

from app.catalog.registry import Catalog, CatalogEntry
from app.contract.python_classes import to_python

USER = """
from sightline_client import Event, Gap, Item, connect, publish
from sightline_client.events import GitCommitCreated, WorkflowStarted


async def main() -> None:
    async with connect(types=[WorkflowStarted, "git.*"]) as stream:
        async for item in stream:
            print(line(item))
    await publish(WorkflowStarted(workflow_id="w", workflow_name="n"), idempotency_key="k")


def line(item: Item) -> str:
    match item:
        case Event(WorkflowStarted(workflow_name=name, project=project)):
            reveal_type(name)
            reveal_type(project)
            return name
        case Event(GitCommitCreated() as commit, sequence_number=number):
            return f"{number} {commit.author}"
        case Event():
            return item.type
        case Gap(dropped=dropped):
            reveal_type(dropped)
            return str(dropped)
"""
WRONG = """
from sightline_client import connect
from sightline_client.events import WorkflowStarted

WorkflowStarted(workflow_id=1, workflow_name="n")
connect(types=[int])
"""


def test_the_generated_classes_are_those_of_the_catalog() -> None:
    remedy = "python -m app.contract"
    assert (files("sightline_client") / "events.py").read_text() == to_python(), remedy


@pytest.mark.parametrize("entry", Catalog().entries(), ids=lambda entry: entry.type)
def test_every_example_of_the_catalog_is_an_object_of_its_class(entry: CatalogEntry) -> None:
    fields = {"timestamp": "2026-11-22T21:00:00.123Z", "sequence_number": 1, "metadata": {}}
    event = decode(json.dumps({"type": entry.type, "data": {**entry.example, "x": 1}, **fields}))
    assert isinstance(event, Event)
    assert type(event.data) is DATA_CLASSES[entry.type]
    assert event.fields == {**entry.example, "x": 1}


@pytest.mark.parametrize(
    ("type_", "data"), [("deploy.done", '{"a":1}'), ("workflow.started", '{"workflow_id":7}')]
)
def test_an_unknown_type_and_another_catalogs_data_are_dicts(type_: str, data: str) -> None:
    text = f'{{"type":"{type_}","timestamp":"t","sequence_number":1,"data":{data},"metadata":{{}}}}'
    event = decode(text)
    assert isinstance(event, Event)
    assert isinstance(event.data, dict)
    assert event.data == event.fields


def test_match_takes_an_event_apart() -> None:
    event = Event(WorkflowStarted(workflow_id="w", workflow_name="n"), "t", "t", 1, {}, "")
    match event:
        case Event(WorkflowStarted(workflow_name=name)):
            assert name == "n"
        case _:
            pytest.fail("no match")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder; the type checker's cache in it serves both programs."""
    return tmp_path_factory.mktemp("project")


def mypy(project: Path, program: str) -> str:
    (project / "user.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "user.py"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout


@pytest.mark.slow
def test_a_users_program_is_type_checked(project: Path) -> None:
    said = mypy(project, USER)
    assert "error" not in said
    revealed = [line.split("type is ")[1] for line in said.splitlines() if "Revealed" in line]
    assert revealed == ['"str"', '"str | None"', '"int | None"']


@pytest.mark.slow
def test_a_users_mistakes_are_found(project: Path) -> None:
    said = mypy(project, WRONG)
    assert 'Argument "workflow_id"' in said
    assert "List item 0" in said
