"""Checks of JSON beyond those of the decoders: a fixed depth, and errors for lone surrogates."""

import re
from itertools import accumulate

import msgspec

from ..errors import InvalidDataError

MAX_DEPTH = 256  # of `data`, `metadata` and control messages: the same on every Python
BODY_DEPTH = MAX_DEPTH + 2  # an event in an array, in a request
FLATTER = f"nest arrays and objects at most {MAX_DEPTH} deep"
_BRACKETS = b"[]{}"
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\xff\x01\xff")  # 1 and -1 as signed bytes
_OTHERS = bytes(set(range(256)).difference(_BRACKETS))
LONG_BYTES = 64 * 1024  # a longer text is not searched as a whole to explain its refusal
_PART_BYTES = 256 * 1024
_ENOUGH_BRACKETS = 2**17  # to see how deep a text is that is nested too deep
_BYTE = re.compile(r"\(byte (\d+)\)")  # in the errors of msgspec
_NEAR = 24  # bytes: twice as long as a pair of escapes
_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|.)", re.DOTALL)


def depth(text: bytes) -> int:
    """The deepest nesting of arrays and objects. Linear time, no recursion.

    Of a text with very many brackets, that of its beginning, if that is too deep already.
    """
    text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    start = level = deepest = brackets = 0
    while start < len(text) and (deepest <= BODY_DEPTH or brackets < _ENOUGH_BRACKETS):
        end = start + _PART_BYTES
        if text.count(b'"', start, end) % 2:  # it ends inside a string: take that too
            end = text.find(b'"', end) + 1 or len(text)
        outside_strings = b"".join(text[start:end].split(b'"')[::2])
        steps = memoryview(outside_strings.translate(_STEPS, _OTHERS)).cast("b")
        deepest = max(deepest, max(accumulate(steps, initial=level)))
        level += sum(steps)
        brackets += len(steps)
        start = end
    return deepest


def check_depth(name: str, text: bytes, allowed: int = MAX_DEPTH) -> None:
    """Refuse JSON that is nested over `allowed` deep. Cheap for text with few brackets.

    Raises:
        InvalidDataError: names the depth; the message begins with `name`.
    """
    if text.count(b"{") + text.count(b"[") > allowed and (found := depth(text)) > allowed:
        raise InvalidDataError(f"{name} is nested {found} deep: {FLATTER}")


def reason(error: Exception, text: bytes) -> str:
    """Why `text` cannot be decoded. Decoders report a lone surrogate as truncated or malformed."""
    if isinstance(error, UnicodeError):
        return _not_utf8(text) or str(error)[:200]
    if isinstance(error, RecursionError):
        return f"it is nested {depth(text)} deep: {FLATTER}"
    if not isinstance(error, msgspec.ValidationError) and (lone := _lone_surrogate(text, error)):
        escape, at = lone
        return (
            f"a lone surrogate, {escape}, at byte {at}: it is half of a character;"
            r" send both halves, as \ud83d\ude00, or the character itself, or \ufffd in its place"
        )
    return str(error)[:200]


def _not_utf8(text: bytes) -> str | None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"byte 0x{text[error.start]:02x} at {error.start} is not UTF-8 ({error.reason})"
    return None


def _lone_surrogate(text: bytes, error: Exception) -> tuple[str, int] | None:
    """An escape of half a character and its place; in a long text, only where `error` is."""
    start, end = 0, len(text)
    if len(text) > LONG_BYTES:
        found = _BYTE.search(str(error))
        near = int(found[1]) if found else end
        start, end = max(0, near - 2 * _NEAR), near + _NEAR
        before = text[:start]
        start -= (len(before) - len(before.rstrip(b"\\"))) % 2  # not amid an escape
    high: re.Match[bytes] | None = None  # the first half of a pair
    for escape in _ESCAPE.finditer(text, start, end):
        code = int(escape[1] or b"0", 16)
        is_second = 0xDC00 <= code <= 0xDFFF
        if high is not None:
            if not is_second or escape.start() != high.end():
                break
            high = None
        elif is_second and start and escape.start() < start + _NEAR:
            continue  # its first half may be before `start`
        elif is_second:
            high = escape
            break
        elif 0xD800 <= code <= 0xDBFF:
            high = escape
    return (high[0].decode(), high.start()) if high is not None else None
