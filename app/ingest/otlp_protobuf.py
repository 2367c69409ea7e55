"""OTLP as protobuf, with `opentelemetry-proto`: the extra `otlp`. Pure.

Importing this module raises `ModuleNotFoundError` where the extra is not installed.
"""

import base64
from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from ..errors import BadRequestError
from .hooks import Fields
from .otlp import Record, Span, is_remote, milliseconds


def spans(body: bytes) -> Iterator[Span]:
    """The spans of an `ExportTraceServiceRequest`.

    Raises:
        BadRequestError: it is none.
    """
    request = ExportTraceServiceRequest()
    _parse(request, body)
    for of_resource in request.resource_spans:
        resource = _fields(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    of_scope.scope.name,
                    milliseconds(span.start_time_unix_nano, span.end_time_unix_nano),
                    span.status.code == Status.STATUS_CODE_ERROR,
                    span.status.message,
                    _fields(span.attributes),
                    resource,
                    is_remote(span.flags),
                )


def records(body: bytes) -> Iterator[Record]:
    """The log records of an `ExportLogsServiceRequest`; raises as `spans`."""
    request = ExportLogsServiceRequest()
    _parse(request, body)
    for of_resource in request.resource_logs:
        resource = _fields(of_resource.resource.attributes)
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                time = record.time_unix_nano or record.observed_time_unix_nano
                yield Record(of_scope.scope.name, time, _fields(record.attributes), resource)


def _parse(request: Message, body: bytes) -> None:
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise BadRequestError(f"the body is not OTLP as protobuf: {str(error)[:200]}") from None


def _fields(pairs: Iterable[KeyValue]) -> Fields:
    return {pair.key: _value(pair.value) for pair in pairs if pair.key}


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _fields(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, kind) if kind else None
