"""What generators make of the OpenAPI document: clients whose publishes pass the type checker."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.kit.gateway import Gateway
from tests.kit.http import TOKEN
from tests.kit.messages import receive

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "openapi.json"

# Two media types with arrays make the generator write `isinstance(body, list[…])`, which no Python takes.
CONFIG = """\
project_name_override: sightline_http
package_name_override: sightline_http
post_hooks: []
content_type_overrides:
  application/cloudevents+json: text/plain
  application/cloudevents-batch+json: text/plain
"""
PUBLISH_PY = """\
import sys

from sightline_http import AuthenticatedClient
from sightline_http.api.default import health, publish_events
from sightline_http.models import AnyNewEvent, NewEventData, Published
from sightline_http.models import WorkflowStarted, WorkflowStartedData


def publish(client: AuthenticatedClient) -> int:
    data = WorkflowStartedData(workflow_id="w1", workflow_name="Create PRD")
    assert WorkflowStarted(type_="workflow.started", data=data).data is data
    event = AnyNewEvent("workflow.started", NewEventData.from_dict(data.to_dict()))
    published = publish_events.sync(client=client, body=event)
    assert isinstance(published, Published), published
    return published.sequence_number


if __name__ == "__main__":
    address, token = sys.argv[1:]
    client = AuthenticatedClient(address, token)
    assert health.sync(client=client)
    print(publish(client))
"""
PUBLISH_TS = """\
import type { components, operations, paths } from "./api";

type Schemas = components["schemas"];
type Body = paths["/api/events"]["post"]["requestBody"]["content"]["application/json"];
export const one: Body = {
  type: "workflow.started",
  data: { workflow_id: "w1", workflow_name: "Create PRD" },
};
export const several: Body = [one, { type: "chat.streaming_chunk", data: { message_id: "m", chunk: "x" } }];
export const data: Schemas["WorkflowStartedData"] = { workflow_id: "w1", workflow_name: "n" };
export const event: Schemas["workflow.started"] = { type: "workflow.started", data };
export const health: operations["health"]["responses"][200]["content"]["application/json"] = {
  status: "healthy",
  version: "1",
};
// @ts-expect-error a number is no id
export const wrong: Schemas["workflow.started"] = { type: "workflow.started", data: { ...data, workflow_id: 1 } };
"""


async def run(folder: Path, *command: str) -> str:
    """The output of a command that must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


@pytest.mark.attack
async def test_a_python_client_that_is_generated_type_checks_and_publishes(
    gateway: Gateway, tmp_path: Path
) -> None:
    overrides = CONFIG[CONFIG.index("content_type_overrides") :]
    assert overrides in (ROOT / "docs" / "contract.md").read_text()
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "publish.py").write_text(PUBLISH_PY)
    generate = (
        "-m",
        "openapi_python_client",
        "generate",
        "--meta",
        "none",
        "--path",
        str(DOCUMENT),
    )
    await run(tmp_path, sys.executable, *generate, "--config", "config.yaml")
    checked = ("--strict", "--config-file=", "publish.py", "sightline_http")
    await run(tmp_path, sys.executable, "-m", "mypy", *checked)
    async with gateway.connect() as client:
        await receive(client)
        address = f"http://127.0.0.1:{gateway.port}"
        said = await run(tmp_path, sys.executable, "publish.py", address, TOKEN)
        assert said.strip() == "1"
        received = await receive(client)
        assert received["data"] == {"workflow_id": "w1", "workflow_name": "Create PRD"}


@pytest.mark.attack
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs node with npm")
async def test_typescript_that_is_generated_type_checks_a_publish(tmp_path: Path) -> None:
    (tmp_path / "publish.ts").write_text(PUBLISH_TS)
    packages = ("openapi-typescript@7", "typescript@5")
    await run(tmp_path, "npm", "install", "--no-audit", "--no-fund", "--silent", *packages)
    tools = tmp_path / "node_modules" / ".bin"
    await run(tmp_path, str(tools / "openapi-typescript"), str(DOCUMENT), "-o", "api.ts")
    await run(tmp_path, str(tools / "tsc"), "--noEmit", "--strict", "--skipLibCheck", "publish.ts")
