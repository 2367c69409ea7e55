"""The OpenAPI document: up to date, valid, and whole."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.routes import HTTPRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.catalog import Catalog, event_type, registry as module
from app.contract.asyncapi import to_asyncapi
from app.contract.openapi import to_openapi
from app.contract.schemas import to_text
from app.main import create_app
from app.plugin import plugin_of
from app.settings import Settings

DOCUMENT: dict[str, Any] = json.loads(to_text(to_openapi(Catalog())))
OPERATIONS = {
    (method.upper(), path): operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def test_the_openapi_document_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "openapi.json"
    remedy = "run: python -m app.contract"
    assert page.read_text() == to_text(to_openapi(Catalog())), remedy


@pytest.mark.slow
def test_it_is_valid_also_with_extra_namespaces() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    OpenAPIV31SpecValidator(json.loads(to_text(to_openapi(Catalog(["plugin"]))))).validate()


class Limits(msgspec.Struct):
    """Of an application, under a name that the gateway has too."""

    x: int


@pytest.mark.parametrize("document", [to_openapi, to_asyncapi])
@pytest.mark.parametrize("odd", [False, True])
def test_all_names_differ_also_without_case_and_separators(
    document: Callable[[Catalog], Any], odd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator makes one class of `workflow.started` and `WorkflowStarted`, and loses the other."""
    for registry in ("_REGISTRY", "_STRUCTS", "_TYPES"):
        monkeypatch.setattr(module, registry, dict(getattr(module, registry)))
    if odd:
        for type_ in ("any.event", "new.event", "even.t", "log.in", "li.mits", "a.b_c", "a.bc"):
            fields = [("limits", Limits)]
            struct = msgspec.defstruct(type_.replace(".", "_").title(), fields)
            struct.__doc__ = "Odd."
            event_type(type_, example={"limits": {"x": 1}})(struct)
        event_type("workflow.started_data", example={})(
            msgspec.defstruct("Odd", [], namespace={"__doc__": "Odd."})
        )
    made = json.loads(to_text(document(Catalog())))
    schemas = made["components"]["schemas"]
    names = [*schemas, *(one["operationId"] for one in _operations(made))]
    same = Counter(re.sub("[^a-z0-9]", "", name.lower()) for name in names)
    assert [name for name, count in same.items() if count > 1] == []
    assert len(names) > 60
    assert all(schema.get("title", name) == name for name, schema in schemas.items())
    for kind, name in re.findall(r'"#/components/(\w+)/([^"/]+)', json.dumps(made)):
        assert name in made["components"][kind]
    for type_ in Catalog().structs:
        assert [
            one
            for one in schemas.values()
            if one.get("properties", {}).get("type") == {"const": type_}
        ]


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for path in document.get("paths", {}).values() for one in path.values()]


def test_it_has_exactly_the_routes_of_the_gateway() -> None:
    routes = {
        (str(method), re.sub(r":str\b", "", route.path))
        for route in plugin_of(create_app(Settings(workspace=None))).gateway.app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
    }
    assert OPERATIONS.keys() == {(method, path) for method, path in routes if method != "OPTIONS"}


def test_every_refusal_has_the_body_of_all_refusals() -> None:
    for answer in DOCUMENT["components"]["responses"].values():
        schema = answer["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorMessage"}
    for (_, path), operation in OPERATIONS.items():
        for status, answer in operation["responses"].items():
            if path.startswith("/v1/") and int(status) >= 400:  # OTLP has a body of its own
                schemas = answer["content"]["application/json"]["schema"]["anyOf"]
                assert schemas[0] == {"$ref": "#/components/schemas/Status"}
                continue
            is_refusal = answer == {"$ref": f"#/components/responses/{status}"}
            assert is_refusal == (int(status) >= 400)


def test_what_is_open_asks_for_no_credential_and_all_else_may_be_a_401() -> None:
    opened = {route for route, operation in OPERATIONS.items() if operation.get("security") == []}
    assert opened == {
        ("GET", "/api/health"),
        ("POST", "/api/login"),
        ("POST", "/api/challenge"),
        ("GET", "/login"),
        ("GET", "/"),
        ("GET", "/static/{name}"),
        ("GET", "/static/{folder}/{name}"),
        ("GET", "/client/{name}"),
    }
    for route, operation in OPERATIONS.items():
        is_401 = "401" in operation["responses"]
        assert is_401 == (route not in opened or route == ("POST", "/api/login"))
        assert ("403" in operation["responses"]) == (route != ("GET", "/api/health"))
