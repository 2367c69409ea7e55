"""The close codes: an enum that agrees with the protocol's table."""

import re
from pathlib import Path

import pytest

from app.errors import CloseCode

PROTOCOL = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text()


@pytest.mark.parametrize("code", CloseCode)
def test_the_protocol_says_of_each_close_code_whether_to_connect_again(code: CloseCode) -> None:
    (row,) = re.findall(rf"(?m)^\| {int(code)}\b[^|]*\|[^|]*\| (yes|not?)\b", PROTOCOL)
    assert code.reconnect == (row == "yes")


def test_a_close_code_is_sent_and_shown_as_a_number() -> None:
    assert (CloseCode.RESTART, f"{CloseCode.RESTART}") == (1012, "1012")
