"""A model behind an agent: an API like Anthropic's on loopback that answers from scripts.

The first user message of a conversation names its script in a line `script NAME`. Each step of a
script is what the model answers next: text, or calls of tools. Everything else is answered `ok`.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = str | tuple[str, dict[str, object]]  # a text, or a tool and its input
Scripts = Mapping[str, Sequence[Step]]
_SCRIPT = re.compile(r"script ([a-z_]+)")
USAGE = {"input_tokens": 5, "output_tokens": 7}


@contextmanager
def model_api(scripts: Scripts) -> Iterator[str]:
    """Serve the scripts; yield the address."""

    class Handler(_Handler):
        answers = scripts

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="model-api")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: Scripts

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._send(404, "application/json", b"{}")

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = json.loads(body or b"{}")
        if not self.path.startswith("/v1/messages?") and self.path != "/v1/messages":
            self._send(200, "application/json", b'{"input_tokens": 5}')
            return
        message = _message(request, _step(request, self.answers))
        if request.get("stream"):
            self._send(200, "text/event-stream", _events(message))
        else:
            self._send(200, "application/json", json.dumps(message).encode())

    def _send(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _step(request: dict[str, Any], scripts: Scripts) -> Step:
    messages = request.get("messages") or [{}]
    named = _SCRIPT.search(json.dumps(messages[0]))
    if named is None or not request.get("tools") or named[1] not in scripts:
        return "ok"
    steps = scripts[named[1]]
    taken = sum(message.get("role") == "assistant" for message in messages)
    return steps[min(taken, len(steps) - 1)]


def _message(request: dict[str, Any], step: Step) -> dict[str, Any]:
    _numbers.append(len(_numbers))
    number = _numbers[-1]
    if isinstance(step, str):
        content: dict[str, Any] = {"type": "text", "text": step}
    else:
        content = {"type": "tool_use", "id": f"toolu_{number}", "name": step[0], "input": step[1]}
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model"),
        "content": [content],
        "stop_reason": "end_turn" if isinstance(step, str) else "tool_use",
        "stop_sequence": None,
        "usage": USAGE,
    }


_numbers: list[int] = []


def _events(message: dict[str, Any]) -> bytes:
    (content,) = message["content"]
    if content["type"] == "text":
        begun, delta = {**content, "text": ""}, {"type": "text_delta", "text": content["text"]}
    else:
        text = json.dumps(content["input"])
        begun = {**content, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": text}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": begun},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return "".join(lines).encode()
