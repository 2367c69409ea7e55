"""The served documents, and the gateway held to the OpenAPI one by Schemathesis."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.kit.gateway import Gateway
from tests.kit.http import TOKEN

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs"


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
async def test_the_documents_are_served_as_they_stand_in_docs(gateway: Gateway, name: str) -> None:
    async with gateway.http() as http:
        answer = await http.get(f"/api/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.text == (DOCS / name).read_text()


async def hold_to_its_document(gateway: Gateway, folder: Path, examples: int) -> None:
    """Run Schemathesis with so many examples an operation; fail with its report."""
    url = f"http://127.0.0.1:{gateway.port}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", f"{HERE}/schemathesis.toml"),
        *("run", f"{url}/api/openapi.json", "--url", url),
        *("--header", f"X-Session-Token: {TOKEN}", "--max-examples", str(examples)),
        cwd=folder,  # for what it keeps
        env={**os.environ, "SCHEMATHESIS_HOOKS": f"{HERE}/contract_hooks.py"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await process.communicate()
    if process.returncode != 0:
        pytest.fail(report.decode(), pytrace=False)


@pytest.mark.slow
async def test_every_route_keeps_to_the_openapi_document(gateway: Gateway, tmp_path: Path) -> None:
    await hold_to_its_document(gateway, tmp_path, 10)


@pytest.mark.attack
async def test_every_route_keeps_to_the_openapi_document_for_long(
    gateway: Gateway, tmp_path: Path
) -> None:
    await hold_to_its_document(gateway, tmp_path, 100)
