"""The catalog: what is accepted, what is refused and in which words, and its documentation."""

from pathlib import Path

import msgspec
import pytest

from app.catalog import registry as module
from app.catalog.registry import Catalog, CatalogEntry, event_type
from app.catalog.types import FileCreated, WorkflowStarted
from app.contract.event_types import to_markdown
from app.errors import InvalidDataError, UnknownEventTypeError

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"
ENTRIES = Catalog().entries()
EXPECTED_TYPES = [
    "workflow.started",
    "workflow.step_completed",
    "workflow.finished",
    "workflow.failed",
    "chat.message_sent",
    "chat.message_received",
    "chat.streaming_chunk",
    "chat.thinking_started",
    "chat.thinking_finished",
    "agent.session_started",
    "agent.tool_called",
    "agent.tool_finished",
    "agent.message",
    "agent.session_finished",
    "agent.turn_started",
    "agent.turn_finished",
    "agent.batch_finished",
    "agent.attention_needed",
    "agent.usage_reported",
    "agent.error",
    "agent.reported",
    "file.created",
    "file.modified",
    "file.deleted",
    "state.epic_created",
    "state.story_created",
    "state.story_transitioned",
    "git.commit_created",
    "ceremony.started",
    "ceremony.message",
    "ceremony.ended",
    "kanban.card_moved",
    "kanban.card_updated",
    "session.mode_changed",
    "provider.changed",
    "system.audit",
    "system.error",
]


def by_type(entry: CatalogEntry) -> str:
    return entry.type


def test_exactly_the_expected_types_are_registered() -> None:
    assert sorted(entry.type for entry in ENTRIES) == sorted(EXPECTED_TYPES)


@pytest.mark.parametrize("entry", ENTRIES, ids=by_type)
def test_every_example_passes_also_with_extra_fields(entry: CatalogEntry) -> None:
    Catalog().check(entry.type, entry.example)
    Catalog().check(entry.type, {**entry.example, "extra": {"a": [None]}})


@pytest.mark.parametrize("entry", ENTRIES, ids=by_type)
def test_every_example_shows_only_documented_fields(entry: CatalogEntry) -> None:
    properties = entry.schema["properties"]
    assert isinstance(properties, dict)
    assert set(entry.example) <= set(properties)


@pytest.mark.parametrize("entry", ENTRIES, ids=by_type)
def test_leaving_out_a_required_field_names_it(entry: CatalogEntry) -> None:
    required = msgspec.convert(entry.schema.get("required", []), list[str])
    for name in required:
        data = {key: value for key, value in entry.example.items() if key != name}
        with pytest.raises(InvalidDataError, match=f"`{name}`"):
            Catalog().check(entry.type, data)


@pytest.mark.parametrize("entry", ENTRIES, ids=by_type)
def test_a_field_of_the_wrong_type_is_named(entry: CatalogEntry) -> None:
    for name in entry.example:
        data = {**entry.example, name: {"not": "this"}}
        with pytest.raises(InvalidDataError, match=rf"\$\.{name}\b"):
            Catalog().check(entry.type, data)


@pytest.mark.parametrize("entry", ENTRIES, ids=by_type)
def test_every_schema_is_self_contained(entry: CatalogEntry) -> None:
    assert entry.schema["type"] == "object"
    assert b"$ref" not in msgspec.json.encode(entry.schema) or "$defs" in entry.schema


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("workflow.started", b'{"workflow_id":"1","workflow_name":"n"}'),
        ("state.story_transitioned", b'{"story_id":"1","from_state":"a","to_state":"b"}'),
        ("state.story_transitioned", b'{"story_id":1,"from_state":"a","to_state":"b"}'),
        ("file.created", b'{"path":"a","is_directory":false}'),
        ("file.modified", b'{"path":"a","is_directory":false}'),
        ("file.deleted", b'{"path":"a","is_directory":true}'),
        ("chat.thinking_started", b"{}"),
        ("workflow.finished", b'{"workflow_id":"1","status":"ok","duration_ms":1.5}'),
        (
            "git.commit_created",
            b'{"commit_hash":"1","message":"m","author":"a","files_changed":3}',
        ),
        ("system.error", b'{"message":"m"}'),
    ],
)
def test_minimal_data_passes(type_: str, data: bytes) -> None:
    Catalog().check(type_, msgspec.json.decode(data))


@pytest.mark.parametrize(
    ("type_", "nearest"),
    [
        ("workflow.startd", "workflow.started"),
        ("Workflow.Started", "workflow.started"),
        ("kanban.card_move", "kanban.card_moved"),
        ("system.error\n", "system.error"),
    ],
)
def test_an_unknown_type_names_the_nearest_and_where_to_look(type_: str, nearest: str) -> None:
    with pytest.raises(UnknownEventTypeError) as caught:
        Catalog().check(type_, {})
    assert repr(type_) in str(caught.value)
    assert repr(nearest) in str(caught.value)
    assert "docs/events.md" in str(caught.value)


@pytest.mark.parametrize("type_", ["", ".", "x" * 1_000_000, "\n" * 1000, "\ud800"])
def test_an_odd_type_gives_a_short_one_line_message(type_: str) -> None:
    with pytest.raises(UnknownEventTypeError) as caught:
        Catalog(["x"]).check(type_, {})
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


def test_extra_namespaces_accept_well_formed_types_with_an_object() -> None:
    catalog = Catalog(extra_namespaces=["plugin"])
    catalog.check("plugin.happened", {"anything": [1, None]})
    with pytest.raises(UnknownEventTypeError):
        Catalog().check("plugin.happened", {})


@pytest.mark.parametrize(
    "type_", ["plugin", "plugin.", "plugin.Up", "plugin.a.b", "plugin.a\n", "plugin." + "a" * 58]
)
def test_extra_namespaces_refuse_malformed_types(type_: str) -> None:
    with pytest.raises(UnknownEventTypeError, match="malformed"):
        Catalog(["plugin"]).check(type_, {})


def test_the_longest_type_passes() -> None:
    Catalog(["plugin"]).check("plugin." + "a" * 57, {})


def test_an_extra_namespace_does_not_loosen_registered_types() -> None:
    with pytest.raises(InvalidDataError, match="workflow_id"):
        Catalog(["workflow"]).check("workflow.started", {})


def test_type_of_a_struct() -> None:
    class Stranger(msgspec.Struct):
        pass

    assert Catalog().type_of(WorkflowStarted) == "workflow.started"
    with pytest.raises(UnknownEventTypeError, match="Stranger"):
        Catalog().type_of(Stranger)


def test_unset_fields_are_not_sent_but_is_directory_always_is() -> None:
    started = WorkflowStarted(workflow_id="1", workflow_name="n")
    assert msgspec.json.encode(started) == b'{"workflow_id":"1","workflow_name":"n"}'
    assert msgspec.json.encode(FileCreated(path="a")) == b'{"path":"a","is_directory":false}'


def test_entries_belong_to_the_caller() -> None:
    first = Catalog().entries()[0]
    first.example.clear()
    first.schema.clear()
    assert Catalog().entries() == ENTRIES


def test_a_faulty_registration_is_refused() -> None:
    class Documented(msgspec.Struct):
        """Something."""

    class Silent(msgspec.Struct):
        pass

    with pytest.raises(ValueError, match="form"):
        event_type("Bad", example={})(Documented)
    with pytest.raises(ValueError, match="twice"):
        event_type("workflow.started", example={})(Documented)
    with pytest.raises(ValueError, match="docstring"):
        event_type("quiet.one", example={})(Silent)
    assert sorted(module._REGISTRY) == sorted(EXPECTED_TYPES)


def test_the_document_is_up_to_date() -> None:
    remedy = "run: python -m app.contract"
    assert DOCUMENT.read_text(encoding="utf-8") == to_markdown(), remedy


def test_types_of_extra_namespaces_are_remembered_without_growing() -> None:
    catalog = Catalog(extra_namespaces=["plugin"])
    for i in range(module.MAX_ACCEPTED + 10):
        catalog.check(f"plugin.a{i}", {})
    assert len(catalog._accepted) <= module.MAX_ACCEPTED


def test_a_type_declared_after_the_catalog_was_made_is_in_it() -> None:
    catalog = Catalog()
    before = {name: dict(getattr(module, name)) for name in ("_REGISTRY", "_STRUCTS", "_TYPES")}

    try:

        @event_type("late.comer", example={"name": "x"})
        class LateComer(msgspec.Struct):
            """It came late."""

            name: str

        assert catalog.type_of(LateComer) == "late.comer"
        catalog.check("late.comer", {"name": "x"})
        assert catalog.entries()[-1].type in catalog.structs
    finally:
        for name, kept in before.items():
            registry = getattr(module, name)
            registry.clear()
            registry.update(kept)
