"""The OpenAPI document: up to date, valid, and whole."""

import json
import re
from pathlib import Path
from typing import Any

from litestar.routes import HTTPRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.catalog import Catalog
from app.main import create_app
from app.openapi import to_openapi
from app.plugin import plugin_of
from app.schemas import to_text
from app.settings import Settings

DOCUMENT: dict[str, Any] = json.loads(to_text(to_openapi(Catalog())))
OPERATIONS = {
    (method.upper(), path): operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def test_the_document_is_up_to_date() -> None:
    page = Path(__file__).parent.parent / "docs" / "openapi.json"
    remedy = "run: python -m app.openapi > docs/openapi.json"
    assert page.read_text() == to_text(to_openapi(Catalog())), remedy


def test_it_is_valid_also_with_extra_namespaces() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    OpenAPIV31SpecValidator(json.loads(to_text(to_openapi(Catalog(["plugin"]))))).validate()


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
    for operation in OPERATIONS.values():
        for status, answer in operation["responses"].items():
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
        ("GET", "/client/{name}"),
    }
    for route, operation in OPERATIONS.items():
        is_401 = "401" in operation["responses"]
        assert is_401 == (route not in opened or route == ("POST", "/api/login"))
        assert ("403" in operation["responses"]) == (route != ("GET", "/api/health"))
