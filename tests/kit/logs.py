"""What the gateway logs."""

import json

import pytest

Capture = pytest.CaptureFixture[str]


def read(capsys: Capture) -> list[dict[str, object]]:
    """The lines logged since the last call."""
    output = capsys.readouterr()
    assert output.out == ""
    return [json.loads(line) for line in output.err.splitlines()]
