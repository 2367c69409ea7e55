"""Encodes published data as strict JSON, or raises an error that names the obstacle."""

import json
import marshal
from collections.abc import Callable, Mapping

import msgspec
import orjson
from ahocorasick_rs import BytesAhoCorasick

from ..errors import EventTooLargeError, InvalidDataError
from .obstacle import obstacle
from .strict_json import FLATTER, MAX_DEPTH, check_depth

Fields = Mapping[str, object]
# orjson is ten times faster than the standard library's encoder, and refuses what that one does,
# except for UUIDs and enums, which `marshal` refuses, and NaN and infinity, which become null.
_AS_JSON = (
    orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_nulls_of = BytesAhoCorasick([b"null"]).find_matches_as_indexes  # three times faster than `in`
_foreign_in = BytesAhoCorasick(  # of JSON by others; ten times faster than a regular expression
    [rb"\u00", rb"\/", b'": ', b'":\t', b'" :', b'"  ', b'" \t', b'"\t']
).find_matches_as_indexes
_decode = msgspec.json.Decoder(dict[str, object]).decode
# What orjson refuses, this one may take: integers over 64 bits, subclasses, keys that are numbers.
_encode_strictly = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode


def encode(
    name: str,
    value: Fields | msgspec.Struct,
    max_bytes: int | None = None,
    redact: Callable[[str], str] = str,
) -> tuple[bytes, dict[str, object]]:
    """Encode `value`; return the bytes, and the fields that the catalog checks.

    They are what a reader decodes, but a tuple may stay one: it fits the same types as a list.
    `redact` replaces secrets in the keys that a refusal names.

    Raises:
        InvalidDataError: `value` is not an object, is nested over 256 deep, or holds NaN, bytes, a
            lone surrogate or a cycle; the message begins with `name` and names the path, if it is found.
        EventTooLargeError: the bytes are over `max_bytes`.
    """
    plain: object = value
    try:
        if type(value) is not dict:
            plain = _plain(value)
        if type(plain) is dict:
            try:
                encoded = orjson.dumps(plain, option=_AS_JSON)
                _ensure_fits(name, encoded, max_bytes)
                marshal.dumps(plain)
                if not _nulls_of(encoded) or _decode(encoded) == plain:
                    return encoded, plain
            except (TypeError, ValueError):
                pass  # the encoder below takes it, or says what is wrong
        if not isinstance(plain, Mapping):
            raise TypeError(f"expected an object, got {type(plain).__name__}")
        encoded = _encode_strictly(dict(plain)).encode()
        _ensure_fits(name, encoded, max_bytes)
        check_depth(name, encoded)
        return encoded, _decode(encoded)
    except RecursionError as error:
        raise InvalidDataError(
            f"{name} cannot be encoded as JSON: it is nested over {MAX_DEPTH} deep: {FLATTER}"
        ) from error
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise InvalidDataError(
            f"{name} cannot be encoded as JSON: {obstacle(name, plain, redact) or str(error)[:200]};"
            " use strings, finite numbers, booleans, None, lists and dicts"
        ) from error


def as_encoded(name: str, text: bytes) -> bytes:
    """A JSON object without what `encode` never writes, and a redactor would not see through.

    That is escapes of ASCII, and spaces beside the colon of a key. Raises as `encode`.
    """
    return encode(name, _decode(text))[0] if _foreign_in(text) else text


def ensure_can_fit(name: str, text: bytes, max_bytes: int) -> None:
    """Refuse JSON as it was sent that is over `max_bytes`, however it is written.

    Cheap, so that a body of megabytes is refused before objects are made of it. White space,
    escapes and long numbers may become shorter: what they take is not counted.

    Raises:
        EventTooLargeError: the message begins with `name`.
    """
    if len(text) > max_bytes:
        for part in (text[: 4 * max_bytes], text):  # most often, the beginning is enough
            rest = len(part.translate(None, b" \t\r\n0123456789.+-eE"))
            if rest - 5 * part.count(b"\\u") - part.count(b"\\/") > max_bytes:
                raise EventTooLargeError(too_large(name, len(text), max_bytes))


def too_large(name: str, size: int, max_bytes: int) -> str:
    """The message for an event, or a part of it, that is over the bound."""
    return (
        f"{name} has {size} bytes, over the {max_bytes} allowed:"
        " send a reference instead, or raise SIGHTLINE_MAX_EVENT_BYTES"
    )


def _ensure_fits(name: str, encoded: bytes, max_bytes: int | None) -> None:
    if max_bytes is not None and len(encoded) > max_bytes:
        raise EventTooLargeError(too_large(name, len(encoded), max_bytes))


def _plain(data: Fields | msgspec.Struct) -> object:
    if not isinstance(data, msgspec.Struct):
        return data
    # Keep bytes as bytes, so that the encoder refuses them instead of writing base64.
    return msgspec.to_builtins(data, builtin_types=(bytes, bytearray, memoryview))
