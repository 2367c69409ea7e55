"""OTLP as JSON. Pure.

Unknown fields are ignored, null is an absent field, and an integer may be a text.
"""

import json
import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from ..channels.strict_json import BODY_DEPTH, check_depth, reason
from ..errors import BadRequestError
from .hooks import Fields
from .otlp import Record, Span, is_remote, milliseconds

_FAILED = 2
_TOO_LARGE = 2**64
_ID = re.compile(r"[0-9a-fA-F]{0,64}")
_T = TypeVar("_T", bound=msgspec.Struct)
_Int = int | str | None
_Text = str | None


class _AnyValue(msgspec.Struct, rename="camel"):
    string_value: _Text = None
    bool_value: bool | None = None
    int_value: _Int = None
    double_value: float | str | None = None
    array_value: "_Array | None" = None
    kvlist_value: "_KeyValues | None" = None
    bytes_value: _Text = None


class _Array(msgspec.Struct):
    values: list[_AnyValue | None] | None = None


class _KeyValue(msgspec.Struct):
    key: _Text = None
    value: _AnyValue | None = None


class _KeyValues(msgspec.Struct):
    values: list[_KeyValue] | None = None


class _Attributed(msgspec.Struct):
    attributes: list[_KeyValue] | None = None


class _Scope(msgspec.Struct):
    name: _Text = None


class _Status(msgspec.Struct):
    message: _Text = None
    code: int | None = None


class _JsonSpan(_Attributed, rename="camel"):
    trace_id: _Text = None
    span_id: _Text = None
    parent_span_id: _Text = None
    flags: int | None = None
    name: _Text = None
    start_time_unix_nano: _Int = None
    end_time_unix_nano: _Int = None
    status: _Status | None = None


class _JsonRecord(_Attributed, rename="camel"):
    time_unix_nano: _Int = None
    observed_time_unix_nano: _Int = None


class _ScopeSpans(msgspec.Struct):
    scope: _Scope | None = None
    spans: list[_JsonSpan] | None = None


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Attributed | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Traces(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


class _ScopeLogs(msgspec.Struct, rename="camel"):
    scope: _Scope | None = None
    log_records: list[_JsonRecord] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: _Attributed | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Logs(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] | None = None


def spans(body: bytes) -> Iterator[Span]:
    """The spans of an `ExportTraceServiceRequest`.

    Raises:
        BadRequestError: malformed; the message names the field.
        InvalidDataError: nested too deep.
    """
    for of_resource in _decode(body, _Traces).resource_spans or ():
        resource = _attributes(of_resource.resource)
        for of_scope in of_resource.scope_spans or ():
            scope = (of_scope.scope and of_scope.scope.name) or ""
            for span in of_scope.spans or ():
                status = span.status or _Status()
                yield Span(
                    _id(span.trace_id),
                    _id(span.span_id),
                    _id(span.parent_span_id),
                    span.name or "",
                    scope,
                    milliseconds(_int(span.start_time_unix_nano), _int(span.end_time_unix_nano)),
                    status.code == _FAILED,
                    status.message or "",
                    _attributes(span),
                    resource,
                    is_remote(span.flags or 0),
                )


def records(body: bytes) -> Iterator[Record]:
    """The log records of an `ExportLogsServiceRequest`; raises as `spans`."""
    for of_resource in _decode(body, _Logs).resource_logs or ():
        resource = _attributes(of_resource.resource)
        for of_scope in of_resource.scope_logs or ():
            scope = (of_scope.scope and of_scope.scope.name) or ""
            for record in of_scope.log_records or ():
                time = _int(record.time_unix_nano) or _int(record.observed_time_unix_nano)
                yield Record(scope, time, _attributes(record), resource)


def _decode(body: bytes, shape: type[_T]) -> _T:
    check_depth("the body", body, BODY_DEPTH)
    try:
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeError):
            # SDKs that cut texts may cut a character in half, which this decoder accepts.
            return msgspec.convert(json.loads(body.decode()), shape)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise BadRequestError(f"{reason(error, body)}: send OTLP as JSON") from error


def _attributes(of: _Attributed | None) -> Fields:
    return _fields(of.attributes if of else None)


def _fields(pairs: list[_KeyValue] | None) -> Fields:
    return {pair.key: _value(pair.value) for pair in pairs or () if pair.key}


def _value(value: _AnyValue | None) -> object:
    if value is None:
        return None
    if value.array_value is not None:
        return [_value(one) for one in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return _fields(value.kvlist_value.values)
    if value.int_value is not None:
        return _int(value.int_value)
    if isinstance(value.double_value, str):
        return _float(value.double_value)
    simple = (value.string_value, value.bool_value, value.double_value, value.bytes_value)
    return next((one for one in simple if one is not None), None)


def _int(value: int | str | None) -> int:
    try:
        number = int(value or 0)
    except ValueError:
        number = _TOO_LARGE
    if abs(number) >= _TOO_LARGE:
        raise BadRequestError(f"{str(value)[:80]!r} is not a 64-bit integer: send OTLP as JSON")
    return number


def _float(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise BadRequestError(f"{value[:80]!r} is not a double: send OTLP as JSON") from None


def _id(value: str | None) -> str:
    if not _ID.fullmatch(value or ""):
        raise BadRequestError(f"the id {str(value)[:80]!r} is not hex: send OTLP as JSON")
    return (value or "").lower()
