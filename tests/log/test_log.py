import json
import logging
import re

import pytest
import structlog

from app.log import configure, join
from app.settings import Settings
from tests.kit.logs import read
from tests.redaction.secrets import forms

Capture = pytest.CaptureFixture[str]
JSON = Settings(log_format="json")


def test_json_line_has_level_time_and_context(capsys: Capture) -> None:
    configure(JSON)
    with structlog.contextvars.bound_contextvars(client="a"):
        structlog.get_logger("x").info("started", port=3000)
    (line,) = read(capsys)
    assert (line["event"], line["level"], line["client"], line["port"]) == (
        "started",
        "info",
        "a",
        3000,
    )
    assert str(line["timestamp"]).endswith("Z")


def test_secrets_are_redacted_at_any_depth(capsys: Capture) -> None:
    configure(JSON)
    structlog.get_logger().info(
        "x",
        token="s3cret",
        Authorization="s3cret",
        headers={"X-Session-Token": "s3cret", "a": [{"cookie": "s3cret"}]},
        pairs=[(b"cookie", b"s3cret")],
    )
    (line,) = read(capsys)
    assert "s3cret" not in json.dumps(line)
    assert line["token"] == "[redacted]"


def test_what_has_the_shape_of_a_secret_is_redacted_wherever_it_stands(capsys: Capture) -> None:
    configure(JSON)
    found = [form for form in forms(1) if form.kind in ("token", "private_key", "jwt")]
    for form in found:
        try:
            raise ValueError(form.text)
        except ValueError:
            structlog.get_logger().exception(form.text, value=[{form.text: form.text}])
    text = capsys.readouterr().err
    for form in found:
        for line in form.secret.splitlines():
            assert line.startswith("-----") or line not in text


def test_uvicorn_lines_lose_their_query(capsys: Capture) -> None:
    configure(JSON)
    logging.getLogger("uvicorn.error").info(
        '%s - "WebSocket %s" [accepted]', "1.2.3.4:5", '/ws?ticket=s3cret"s3cret'
    )
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", "/events?token=s3cret", "1.1", 200
    )
    logging.getLogger("uvicorn.error").info('1 - "WebSocket /ws?ticket=s3cret" 403')
    assert [line["event"] for line in read(capsys)] == [
        '1.2.3.4:5 - "WebSocket /ws?[…]" [accepted]',
        '1.2.3.4:5 - "GET /events?[…] HTTP/1.1" 200',
        '1 - "WebSocket /ws?[…]" 403',
    ]


def test_false_handshake_error_is_dropped(capsys: Capture) -> None:
    configure(JSON)
    logging.getLogger("uvicorn.error").error("ASGI callable returned without completing handshake.")
    logging.getLogger("uvicorn.error").error("a real one")
    assert [line["event"] for line in read(capsys)] == ["a real one"]


def test_console_line_cannot_be_forged(capsys: Capture) -> None:
    configure(Settings(log_format="console"))
    try:
        raise ValueError("bad\x1b[31m\nforged")
    except ValueError:
        structlog.get_logger().exception("one\r\ntwo\x9b", value="three\nfour\x1b")
    error = capsys.readouterr().err
    assert not set("\r\x1b\x9b") & set(error)
    assert "one\\r\\ntwo\\x9b" in error
    assert all(line.startswith("    ") for line in error.splitlines()[1:])


def test_a_terminal_shows_the_wall_clocks_time_and_no_line_of_uvicorn_as_an_error(
    capsys: Capture,
) -> None:
    configure(Settings(log_format="console"))
    logging.getLogger("uvicorn.error").info("started")
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[info +\] started +\[uvicorn\] *\n", line)


def test_on_a_terminal_the_log_is_pretty_and_elsewhere_it_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for terminal in (True, False):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        configure(Settings())
        structlog.get_logger("x").info("started")
        line = capsys.readouterr().err
        assert line.startswith("{") is not terminal
        assert ("\x1b[" in line) is terminal


def test_an_applications_own_access_log_shows_no_browser_key() -> None:
    join()
    path = "/api/events/stream?types=*&browser_key=s3cret&other=1"
    for name in ("uvicorn.access", "uvicorn.error"):
        arguments = ("127.0.0.1:1", "GET", path, 200)
        record = logging.LogRecord(name, logging.INFO, "", 1, '%s - "%s %s" %d', arguments, None)
        assert logging.getLogger(name).filter(record)
        assert "stream?types=*&browser_key=[…]&other=1" in record.getMessage()


def test_a_log_without_colour_is_as_pretty(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for asked in ("1", ""):  # empty is as if not set: https://no-color.org
        monkeypatch.setenv("NO_COLOR", asked)
        configure(Settings())
        structlog.get_logger("x").info("started")
        line = capsys.readouterr().err
        assert not line.startswith("{")
        assert ("\x1b[" in line) is (asked == "")
