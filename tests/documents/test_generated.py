"""What an application declares is in all that is made from the catalog.

Each in a process of its own: a declaration counts for the whole process.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.snippets import snippets

ROOT = Path(__file__).parents[2]
SERVED = """
import asyncio, json, pathlib, sys
import httpx
import tests.shop_events
from app.main import create_app
from app.settings import Settings

async def main():
    app = create_app(Settings(session_token="t", state_dir=pathlib.Path(sys.argv[1]), workspace=None))
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://localhost",
        headers={"X-Session-Token": "t"},
    )
    async with app.lifespan(), http:
        catalog = (await http.get("/api/catalog")).json()["types"]
        event = {"type": catalog[-1]["type"], "data": catalog[-1]["example"]}
        accepted = await http.post("/api/events", json=event)
        refused = await http.post("/api/events", json={**event, "data": {"order_id": 1}})
        answers = [await http.get(f"/api/{name}.json") for name in ("openapi", "asyncapi")]
    documents = [answer.json() for answer in answers]
    print(json.dumps([catalog, accepted.status_code, refused.text, *documents]))

asyncio.run(main())
"""


def python(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def generated(generator: str) -> str:
    return python("-m", "app.contract", generator, "tests.shop_events")


@pytest.mark.slow
def test_the_typescript_declarations_follow() -> None:
    item = "{ name: string; price?: number | null; [field: string]: unknown }"
    declared = f"""\
  /** A customer placed an order. */
  "shop.order_placed": {{
    order_id: number | string;
    items: Array<{item}>;
    via: "phone" | "web";
    gift?: boolean;
    notes?: Record<string, unknown>;
    delivered_to?: {item} | null;
    [field: string]: unknown;
  }};
"""
    assert declared in generated("typescript")


@pytest.mark.slow
def test_the_python_classes_follow() -> None:
    module: dict[str, Any] = {"__name__": "generated"}
    exec(generated("python"), module)
    order = module["DATA_CLASSES"]["shop.order_placed"](
        order_id=7, items=[{"name": "a"}], via="web"
    )
    assert (order.gift, order.notes, order.delivered_to) == (False, None, None)
    assert module["OrderPlaced"].__doc__ == "`shop.order_placed`: A customer placed an order."


@pytest.mark.slow
def test_the_page_of_event_types_follows() -> None:
    page = generated("events")
    assert "- [`shop.order_placed`](#shoporder_placed)" in page
    assert "| `items` | array of object | yes |" in page
    assert '| `via` | `"phone"` or `"web"` | yes |' in page


def check_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    reference = {"$ref": "#/components/schemas/shop.order_placed"}
    for name in ("AnyEvent", "AnyNewEvent"):
        assert reference in document["components"]["schemas"][name]["allOf"][1]["anyOf"]


def check_asyncapi(document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/messages/shop.order_placed/payload"}
    validator = Draft7Validator({**schema, "components": document["components"]})
    event = {"type": "shop.order_placed", "sequence_number": 1, "metadata": {}}
    event["timestamp"] = "2026-11-22T21:00:00.123Z"
    assert validator.is_valid({**event, "data": {"order_id": 1, "items": [], "via": "web"}})
    assert not validator.is_valid({**event, "data": {"order_id": 1, "items": [], "via": "fax"}})


@pytest.mark.slow
def test_the_documents_follow() -> None:
    check_openapi(json.loads(generated("openapi")))
    check_asyncapi(json.loads(generated("asyncapi")))


@pytest.mark.slow
def test_what_the_gateway_accepts_and_serves_follows(tmp_path: Path) -> None:
    said = python("-c", SERVED, str(tmp_path)).splitlines()[-1]
    catalog, accepted, refused, openapi, asyncapi = json.loads(said)
    assert catalog[-1]["type"] == "shop.order_placed"
    assert "Item" in catalog[-1]["schema"]["$defs"]
    assert accepted == 201
    assert "items" in refused
    check_openapi(openapi)
    check_asyncapi(asyncapi)


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["typescript", "events"])
def test_a_module_that_is_not_there_is_named(generator: str) -> None:
    command = [sys.executable, "-m", "app.contract", generator, "tests.nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        done.stderr
        == "no module 'tests.nowhere' here: name one as for `import`, such as my_app.events\n"
    )


@pytest.mark.slow
def test_the_page_of_the_contract_leads_to_all_of_it(tmp_path: Path) -> None:
    module, commands = snippets("docs/contract.md", "python sh")
    (tmp_path / "shop_events.py").write_text(module)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path}
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, env=environ, check=True, timeout=60)
    for name in re.findall(r"> (\S+)", commands):
        assert "shop.order_placed" in (tmp_path / name).read_text()
