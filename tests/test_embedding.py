"""The applications of docs/embedding.md, as `litestar run` serves them."""

import json
from pathlib import Path

import pytest

from tests.kit.processes import ROOT, line_with, running
from tests.kit.readme import gateway
from tests.snippets import snippets

PLUGIN, TICKET, CHANNELS = snippets("docs/embedding.md", "python python python")


@pytest.mark.slow
def test_the_line_that_adds_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "board.py").write_text(PLUGIN)
    with (
        gateway(tmp_path, "board:create_app") as server,
        running(server.terminal(), tmp_path) as terminal,
    ):
        line_with(terminal, "connected")
        server.post("/stories/s1/finish")
        event = json.loads(line_with(terminal, "state.story_transitioned"))
    assert event["data"] == {"story_id": "s1", "from_state": "todo", "to_state": "done"}


@pytest.mark.slow
def test_litestars_channels_on_top(tmp_path: Path) -> None:
    (tmp_path / "board.py").write_text(CHANNELS)
    with (
        gateway(tmp_path, "board:create_app") as server,
        running(server.terminal(), tmp_path) as terminal,
    ):
        line_with(terminal, "connected")
        server.curl()
        assert json.loads(line_with(terminal, "workflow.started"))["sequence_number"] == 1


def test_the_ticket_is_made_as_the_page_says() -> None:
    tested = (ROOT / "tests/live/test_plugin.py").read_text()
    for line in TICKET.splitlines()[1:]:
        assert line.partition("  #")[0].strip() in tested
