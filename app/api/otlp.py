"""Where OpenTelemetry exporters post: OTLP over HTTP, as JSON or protobuf, plain or gzip.

A request is read in a thread, one at a time, so the loop goes on whatever arrives. A batch that is sent
again publishes nothing: exporters send it again if its answer was lost.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from ..auth.denial import http_refusal
from ..channels.publisher import YIELD_EVERY, EventPublisher
from ..errors import ErrorMessage, ForbiddenError, PublishError
from ..ingest import otlp_json
from ..ingest.hooks import MAX_DATA_BYTES, cut
from ..ingest.otlp import Keyed, Record, Signal, Span
from ..ingest.otlp_http import JSON, MAX_BYTES, PROTOBUF, decompress, status, success
from ..ingest.recent import RecentTelemetry
from ..ingest.telemetry import read_record, read_spans
from .events import MAX_BATCH
from .hooks import HOOK, ROOM

HTTPRequest = Request[object, object, object]  # type: ignore[type-var]
_STATELESS = ("agent.usage_reported", "agent.reported")
_CODES = {400: 3, 401: 16, 403: 7, 413: 8, 415: 3, 503: 14}  # of google.rpc.Code
_INTERNAL = 13


class _Batch(NamedTuple):
    """The events of a request, and how many of its items were refused, with the last reason."""

    events: list[Keyed]
    rejected: int
    message: str


def refused(request: HTTPRequest, error: Exception) -> Response[bytes]:
    """The answer to a request that failed: a `Status`, in the format of the request."""
    usual = http_refusal(request, error)
    code = _CODES.get(usual.status_code or 500, _INTERNAL)
    message = msgspec.json.decode(usual.content, type=ErrorMessage).message
    answer_type = JSON if request.content_type[0] == JSON else PROTOBUF
    return Response(
        status(answer_type, code, message),
        status_code=usual.status_code,
        headers=usual.headers,
        media_type=answer_type,
    )


@post(
    "/v1/traces",
    request_max_body_size=MAX_BYTES,
    status_code=200,
    opt=HOOK,
    exception_handlers={Exception: refused},
)
async def export_traces(
    request: HTTPRequest,
    publisher: NamedDependency[EventPublisher],
    recent: NamedDependency[RecentTelemetry],
) -> Response[bytes]:
    """Take the spans of agents; those of traces without an agent are ignored."""

    def read(body: bytes) -> _Batch:
        spans = list(_spans(request.content_type[0], body))
        redact = publisher.redactor.redact_value  # before texts are cut
        named = [redact(span) for span in spans if span.trace_id and span.span_id]
        read = read_spans(named, recent.traces, recent.early)
        return _bounded(read, len(spans) - len(named), "a span without traceId or spanId")

    return await _export(request, "traces", read, publisher, recent)


@post(
    "/v1/logs",
    request_max_body_size=MAX_BYTES,
    status_code=200,
    opt=HOOK,
    exception_handlers={Exception: refused},
)
async def export_logs(
    request: HTTPRequest,
    publisher: NamedDependency[EventPublisher],
    recent: NamedDependency[RecentTelemetry],
) -> Response[bytes]:
    """Take the log records of agents; others are ignored."""

    def read(body: bytes) -> _Batch:
        records = _records(request.content_type[0], body)
        return _bounded(map(read_record, map(publisher.redactor.redact_value, records)))

    return await _export(request, "logs", read, publisher, recent)


@post(
    "/v1/metrics",
    request_max_body_size=MAX_BYTES,
    status_code=200,
    opt=HOOK,
    exception_handlers={Exception: refused},
)
async def export_metrics(request: HTTPRequest) -> Response[bytes]:
    """Accept metrics and ignore them: logs and spans carry the same, for each request."""
    content_type, _ = _formats(request)
    await request.body()
    return Response(success("metrics", content_type), media_type=content_type)


ROUTES = (export_traces, export_logs, export_metrics)


async def _export(
    request: HTTPRequest,
    signal: Signal,
    read: Callable[[bytes], _Batch],
    publisher: EventPublisher,
    recent: RecentTelemetry,
) -> Response[bytes]:
    content_type, encoding = _formats(request)
    body = await request.body()
    async with recent.reading:
        batch = await asyncio.to_thread(lambda: read(decompress(body, encoding)))
    refusals = await _publish(batch.events, publisher, recent)
    rejected = batch.rejected + len(refusals)
    message = "; ".join([*([batch.message] if batch.rejected else ()), *refusals[-1:]])
    return Response(success(signal, content_type, rejected, message), media_type=content_type)


def _formats(request: HTTPRequest) -> tuple[str, str]:
    """Content type and encoding of a request."""
    content_type = request.content_type[0]
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if content_type not in (JSON, PROTOBUF):
        raise HTTPException(f"send Content-Type: {PROTOBUF} or {JSON}", status_code=415)
    if encoding not in ("gzip", "identity"):
        raise HTTPException("send Content-Encoding: gzip, or none", status_code=415)
    return content_type, encoding


def _spans(content_type: str, body: bytes) -> Iterator[Span]:
    if content_type == JSON:
        return otlp_json.spans(body)
    try:
        from ..ingest import otlp_protobuf
    except ModuleNotFoundError as error:
        raise _no_protobuf() from error
    return otlp_protobuf.spans(body)


def _records(content_type: str, body: bytes) -> Iterator[Record]:
    if content_type == JSON:
        return otlp_json.records(body)
    try:
        from ..ingest import otlp_protobuf
    except ModuleNotFoundError as error:
        raise _no_protobuf() from error
    return otlp_protobuf.records(body)


def _no_protobuf() -> HTTPException:
    return HTTPException(
        "this gateway reads OTLP as JSON alone: pip install 'sightline-gateway[otlp]' where it runs,"
        " or set OTEL_EXPORTER_OTLP_PROTOCOL=http/json in the program that sends",
        status_code=415,
    )


def _bounded(read: Iterable[list[Keyed]], rejected: int = 0, message: str = "") -> _Batch:
    """The events of as many items as fit into the bound of one request."""
    events: list[Keyed] = []
    for of_item in read:
        if len(events) + len(of_item) <= MAX_BATCH:
            events += of_item
        else:
            rejected += 1
            message = f"over {MAX_BATCH} events in one request: send smaller batches"
    return _Batch(events, rejected, message)


async def _publish(
    events: list[Keyed], publisher: EventPublisher, recent: RecentTelemetry
) -> list[str]:
    """Publish what is new, and return why each refused event was refused."""
    new = []
    for one in events:
        hooked = one.event.data.get("session_id") in recent.hooked
        if one.key not in recent.keys and (one.event.type in _STATELESS or not hooked):
            recent.keys[one.key] = ""
            new.append(one)
    most_bytes = publisher.max_event_bytes - ROOM
    refusals: list[str] = []
    for start in range(0, len(new), YIELD_EVERY):
        chunk = new[start : start + YIELD_EVERY]
        try:
            refusals += await _publish_chunk(chunk, publisher, most_bytes)
        except BaseException:
            for one in new[start:]:
                recent.keys.pop(one.key, None)
            raise
    return refusals


async def _publish_chunk(
    chunk: list[Keyed], publisher: EventPublisher, most_bytes: int
) -> list[str]:
    small = most_bytes < MAX_DATA_BYTES
    events = [(e.type, cut(e.data, most_bytes) if small else e.data, e.metadata) for e, _ in chunk]
    keys = [one.key for one in chunk]
    durable = publisher.disk is not None
    try:
        await publisher.publish_all(events, keys, durable=durable)
        return []
    except (PublishError, ForbiddenError):
        refusals = []
        for event, key in zip(events, keys, strict=True):
            try:
                await publisher.publish_all([event], [key], durable=durable)
            except (PublishError, ForbiddenError) as error:
                refusals.append(str(error))
        return refusals
