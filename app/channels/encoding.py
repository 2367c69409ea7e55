"""Encodes published data as strict JSON, or raises an error that names the obstacle."""

import json
from collections.abc import Mapping
from math import isfinite

import msgspec

from ..errors import EventTooLargeError, InvalidDataError
from .strict_json import FLATTER, MAX_DEPTH, check_depth as check_depth

Fields = Mapping[str, object]
_EXACT = frozenset((str, int, bool, type(None)))  # both encoders write these alike
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, object]).decode
# The standard library's encoder refuses NaN and infinity; msgspec's writes null.
_encode_strictly = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode


def encode(
    name: str, value: Fields | msgspec.Struct, max_bytes: int | None = None
) -> tuple[bytes, dict[str, object]]:
    """Encode `value`; return the bytes, and the fields as a reader decodes them.

    Raises:
        InvalidDataError: `value` is not an object, is nested over 256 deep, or holds NaN, bytes, a
            lone surrogate or a cycle; the message begins with `name`.
        EventTooLargeError: nested data is over `max_bytes`; flat data is not measured here.
    """
    try:
        plain: object = value if type(value) is dict else _plain(value)
        # Most data is flat: encoding is several times faster, and a reader decodes exactly `plain`.
        if type(plain) is dict and _is_flat(plain):
            return _encode(plain), plain
        if not isinstance(plain, Mapping):
            raise TypeError(f"expected an object, got {type(plain).__name__}")
        encoded = _encode_strictly(dict(plain)).encode()
        if max_bytes is not None and len(encoded) > max_bytes:
            raise EventTooLargeError(too_large(name, len(encoded), max_bytes))
        check_depth(name, encoded)
        return encoded, _decode(encoded)
    except RecursionError as error:
        raise InvalidDataError(
            f"{name} cannot be encoded as JSON: it is nested over {MAX_DEPTH} deep: {FLATTER}"
        ) from error
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise InvalidDataError(
            f"{name} cannot be encoded as JSON: {str(error)[:200]};"
            " use strings, finite numbers, booleans, None, lists and dicts"
        ) from error


def too_large(name: str, size: int, max_bytes: int) -> str:
    """The message for an event, or a part of it, that is over the bound."""
    return (
        f"{name} has {size} bytes, over the {max_bytes} allowed:"
        " send a reference instead, or raise SIGHTLINE_MAX_EVENT_BYTES"
    )


def _is_flat(fields: dict[str, object]) -> bool:
    for key, value in fields.items():
        if type(key) is not str:
            return False
        if type(value) not in _EXACT and not (type(value) is float and isfinite(value)):
            return False
    return True


def _plain(data: Fields | msgspec.Struct) -> object:
    if not isinstance(data, msgspec.Struct):
        return data
    # Keep bytes as bytes, so that the encoder refuses them instead of writing base64.
    return msgspec.to_builtins(data, builtin_types=(bytes, bytearray, memoryview))
