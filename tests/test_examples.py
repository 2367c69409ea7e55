"""The example application, as `litestar run` serves it."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.kit.processes import PATIENCE_S, line_with, running
from tests.kit.readme import Gateway, gateway


def call(server: Gateway, path: str, body: bytes | None = None) -> Any:
    """The answer of the application's own route: no token is asked for."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", body)
    if body:
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_the_story_board_publishes_events_of_its_own_types(tmp_path: Path) -> None:
    with (
        gateway(tmp_path, "examples.stories:create_app") as server,
        running(server.terminal("--json 'story.*'"), tmp_path) as terminal,
    ):
        line_with(terminal, "connected")
        added = call(server, "/stories", b'{"title":"Show the stream"}')
        moved = call(server, "/stories/1/done", b"{}")
        reported = [
            json.loads(line_with(terminal, kind)) for kind in ("story.added", "story.moved")
        ]
        assert call(server, "/stories") == [moved]
    assert added == {"story_id": 1, "title": "Show the stream", "column": "todo"}
    assert reported[0]["data"] == {"story_id": 1, "title": "Show the stream"}
    assert reported[1]["data"] == {"story_id": 1, "from_column": "todo", "to_column": "done"}


@pytest.mark.slow
def test_the_catalog_holds_the_event_types_of_the_application(tmp_path: Path) -> None:
    with gateway(tmp_path, "examples.stories:create_app") as server:
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/api/catalog", headers={"X-Session-Token": server.token}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            types = {entry["type"]: entry for entry in json.load(answer)["types"]}
    assert types["story.moved"]["description"] == "A story moved to another column."
    assert set(types["story.added"]["schema"]["required"]) == {"story_id", "title"}
