"""Requests of the command line to the gateway of a state folder, which proves its identity first."""

import json
import secrets
import socket
import ssl
import time
from contextlib import ExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

from .proof import address_of, proof, run_token

ANSWER_S = 5
MOST_BYTES = 64 * 1024


class StrangerError(Exception):
    """Another program answers at the address. No secret was sent to it."""


class Answer(NamedTuple):
    """An HTTP answer; `address` is the IP address and port that sent it."""

    status: int
    body: bytes
    address: str


def ask(url: str, token: str, path: str) -> Answer:
    """Post to the gateway at `url` and return its answer. The session token itself is never sent.

    Raises:
        StrangerError: the program at `url` cannot prove that it has the session token.
        OSError: no complete answer arrived within 5 seconds.
    """
    nonce = secrets.token_urlsafe(32)
    answer = _post(url, "/api/challenge", {}, json.dumps({"nonce": nonce}).encode())
    try:
        claim = json.loads(answer.body)
        run, shown = str(claim["run"]), str(claim["proof"])
    except (ValueError, KeyError, TypeError, RecursionError):
        run, shown = "", ""
    if not secrets.compare_digest(
        proof(token, nonce, run, answer.address).encode(), shown.encode("utf-8", "replace")
    ):
        raise StrangerError(
            f"what answers at {url} is not the gateway of this folder; no secret was sent to it:"
            " check which program listens there, and start the gateway again"
        )
    return _post(url, path, {"X-Session-Token": run_token(token, run, answer.address)}, b"")


def _post(url: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    """Send one request over a new connection, bounded in time and size, without any proxy."""
    parts = urlsplit(url)
    ends_at = time.monotonic() + ANSWER_S
    with ExitStack() as opened:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        line = opened.enter_context(socket.create_connection((parts.hostname, port), ANSWER_S))
        here, there = line.getsockname(), line.getpeername()
        if here[0] != there[0]:
            raise StrangerError(
                f"{url} is not on this machine, where the gateway of a state folder is;"
                " no secret was sent to it"
            )
        if parts.scheme == "https":
            context = ssl.create_default_context()
            line = opened.enter_context(context.wrap_socket(line, server_hostname=parts.hostname))
        all_headers = {
            "Host": parts.netloc,
            "Connection": "close",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }
        lines = [f"POST {path} HTTP/1.1", *(f"{key}: {text}" for key, text in all_headers.items())]
        line.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = bytearray()
        while len(answer) <= MOST_BYTES:
            line.settimeout(max(0.001, ends_at - time.monotonic()))
            chunk = line.recv(MOST_BYTES)
            if not chunk:
                break
            answer += chunk
        head, _, content = bytes(answer).partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        if len(words) < 2 or not words[1].isdigit():
            raise OSError("no HTTP answer")
        return Answer(int(words[1]), content, address_of(*there[:2]))
