"""Bodies of OTLP over HTTP: decompressed within a bound, and answered as JSON or protobuf. Pure."""

import zlib

import msgspec

from ..errors import BadRequestError
from .otlp import Signal

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
MAX_BYTES = 4 * 1024 * 1024  # of a body, after decompression
_ITEMS: dict[Signal, str] = {"traces": "Spans", "logs": "LogRecords", "metrics": "DataPoints"}


class Status(msgspec.Struct):
    """The body of a refusal: a `google.rpc.Status`."""

    code: int
    message: str


class TooLargeError(BadRequestError):
    code = "body_too_large"
    status = 413


def decompress(body: bytes, encoding: str) -> bytes:
    """The body without its `Content-Encoding`, gzip or none.

    Raises:
        BadRequestError: it is not one whole gzip member.
        TooLargeError: it is over `MAX_BYTES`; no more than that is decompressed.
    """
    if encoding != "gzip":
        return body
    gzip = zlib.decompressobj(wbits=31)
    try:
        whole = gzip.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise BadRequestError(f"the body is not gzip: {error}") from None
    if len(whole) > MAX_BYTES:
        raise TooLargeError(
            f"the body has over {MAX_BYTES} bytes after decompression: send smaller batches,"
            " as with OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
        )
    if not gzip.eof or gzip.unused_data:
        raise BadRequestError("the body is not one whole gzip member: it is cut short, or goes on")
    return whole


def success(signal: Signal, content_type: str, rejected: int = 0, message: str = "") -> bytes:
    """The body of a 200: empty, or how many items were not taken, and why."""
    if content_type == JSON:
        partial = {f"rejected{_ITEMS[signal]}": str(rejected), "errorMessage": message}
        return msgspec.json.encode({"partialSuccess": partial} if rejected else {})
    inner = b"\x08" + _varint(rejected) + _length(b"\x12", message)
    return b"\x0a" + _varint(len(inner)) + inner if rejected else b""


def status(content_type: str, code: int, message: str) -> bytes:
    """A `Status` as bytes."""
    if content_type == JSON:
        return msgspec.json.encode(Status(code, message))
    return b"\x08" + _varint(code) + _length(b"\x12", message)


def _length(tag: bytes, text: str) -> bytes:
    encoded = text.encode()
    return tag + _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])
