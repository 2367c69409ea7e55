"""Secrets that only their name gives away: keys of JSON, and assignments in a text.

`"password":"…"` is a key of the event's own JSON. `API_KEY=…`, `password: "…"` and
`\\"secret\\": \\"…\\"` are assignments, as `.env` files, commands and quoted JSON have them.
"""

import re
import string
from collections.abc import Iterator
from typing import NamedTuple

from .kinds import Choice


class Span(NamedTuple):
    """A secret in the bytes, and what replaces it."""

    start: int
    end: int
    kind: str | None  # None: a number, which becomes 0


# A name is one of a secret if it ends so, in small letters and without separators.
_KEYS = (
    *(b"password", b"passwd", b"passphrase", b"secret", b"apikey", b"accesskey", b"privatekey"),
    *(b"secretkey", b"accesstoken", b"refreshtoken", b"authtoken", b"sessiontoken", b"apitoken"),
    *(b"bearertoken", b"bottoken", b"credentials", b"authorization", b"cookie"),
)
_ASSIGNED = (
    *(b"password", b"passwd", b"passphrase", b"secret", b"apikey", b"accesskey", b"privatekey"),
    *(
        b"secretkey",
        b"token",
        b"pass",
        b"pwd",
        b"credentials",
        b"authkey",
        b"encryptionkey",
        b"signingkey",
    ),
)
# A part of each of these names in each spelling: what the search looks for.
LITERALS = (
    *(b"assword", b"ASSWORD", b"asswd", b"ASSWD", b"assphrase", b"ASSPHRASE", b"_pass", b"_PASS"),
    *(b"ecret", b"ECRET", b"redentials", b"REDENTIALS", b'uthorization":', b'ookie":', b"Pwd="),
    *(b"pi_key", b"pi-key", b"piKey", b"pikey", b"PI_KEY", b"PIKEY", b"pi-Key", b"PI-KEY"),
    *(b"ccess_key", b"ccess-key", b"ccessKey", b"ccesskey", b"CCESS_KEY", b"pwd=", b"_PWD="),
    *(b"rivate_key", b"rivate-key", b"rivateKey", b"rivatekey", b"RIVATE_KEY"),
    *(b"uth_key", b"uthKey", b"UTH_KEY", b"ENCRYPTION_KEY", b"SIGNING_KEY"),
    *(b"OKEN", b"oken=", b'oken":', b'oken\\"', b"oken:", b"oken'", b"oken ="),
)
# What a literal must begin: the rest of a name, and what gives it a value.
NAMED = re.compile(rb"([A-Za-z0-9_.-]{0,64}+)(\":|(?:\\+\"|')?\]?\s{0,4}[:=!])")
_OF_NAMES = (string.ascii_letters + string.digits + "_.-").encode()
_LONGEST_NAME = 64
_ESCAPED = b"bfnrt"  # the letters of escapes
_SHELL_NAME = re.compile(
    rb"(?:[A-Za-z0-9_.-]*[.-])?(?:[A-Z0-9_]*_)?(?:SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|CREDENTIALS"
    rb"|(?:API|ACCESS|PRIVATE|SECRET|AUTH|ENCRYPTION|SIGNING|MASTER)_?KEY|APIKEY)"
    rb"(?:_(?:[0-9]+|PROD|PRODUCTION|STAGING|DEV|TEST|LIVE|OLD|NEW))?"
)

_VALUE_OF_KEY = re.compile(rb'"((?:[^"\\]|\\.)*+)"|(-?[0-9][0-9.eE+-]*+)|[\[{]')
_PART_OF_JSON = re.compile(rb'"((?:[^"\\]|\\.)*+)"(:?)|(-?[0-9][0-9.eE+-]*+)|[\[\]{}]')

_ASSIGNS = re.compile(rb"(?:\\+\"|')?\]?(\s{0,4}(?:=>|:=|!==?|={1,3}|:)\s{0,4})(\\+\"|['`])?")
# What a value consists of after an escaped quote, another quote, or none; the rest of a long one.
_IN_QUOTES = rb"(?:[^\"\\]|\\\\(?![\\\"]))"
_IN_SINGLE = rb"(?:[^'`\"\\])"
_BARE = rb"[^\s\"'\\`,;&|<>(){}\[\]]"
_VALUES = {
    quote: (re.compile(one + rb"{1,200}+"), re.compile(one + rb"*+"))
    for quote, one in ((b'"', _IN_QUOTES), (b"'", _IN_SINGLE), (b"`", _IN_SINGLE), (b"", _BARE))
}
_MIXED = re.compile(
    rb"(?![/.~])(?=[^0-9]*+[0-9])(?=[^A-Za-z]*+[A-Za-z])[A-Za-z0-9+/=_~!@#%^*.:?$-]{6,}+$"
)
_MIXED_IN_QUOTES = re.compile(rb"(?=[^0-9]*+[0-9])(?=[^A-Za-z]*+[A-Za-z])[^\s]{6,}+$")
_ATTRIBUTE = re.compile(rb"[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)++$")
_SHORTEST_TOKEN = 16  # `token: …` means many things
_PLACEHOLDER = re.compile(
    rb"""\$[\w{(]|<|\{|%(?:[A-Z_]+%|[s({])|\[redacted:|\*  # a variable, a template, or redacted before
    |.{0,80}?(?:\.\.\.|\xe2\x80\xa6|\*\*\*|\$\{|\{\{|EXAMPLE|xxxx|XXXX)
    |(?:your|my)[-_]
    |(?:(?:os|process|import\.meta)\.)?env(?:iron)?[.\[]
    |(?:change-?me|placeholder|redacted|example|dummy|null|none|nil|true|false|undefined
       |password|passwd|pass|secret|token|string|str|required|optional|empty|unset|hidden
       |api[-_]?key|user(?:name)?)[.,;:!?]*+$
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def is_placeholder(secret: bytes) -> bool:
    """Whether the value only stands for a secret: `$VAR`, `<token>`, `your-key`, `***`."""
    return _PLACEHOLDER.match(secret) is not None or secret.count(secret[:1]) == len(secret)


def spellings(name: str) -> set[bytes]:
    """How a key is written: as given, and as other styles write its words."""
    words = [word for word in re.split(r"[-_.]|(?<=[a-z0-9])(?=[A-Z])", name) if word]
    small = [word.lower() for word in words]
    titled = [word.capitalize() for word in words]
    styles = ("_".join(small), "-".join(small), "".join(small), "_".join(small).upper())
    camel = small[0] + "".join(titled[1:])
    return {text.encode() for text in (name, *styles, camel, "".join(titled), "-".join(titled))}


class Names:
    """Finds secrets by their name."""

    def __init__(self, choice: Choice) -> None:
        self._keys = frozenset(_normalised(key.encode()) for key in choice.keys)
        self._finds_keys = "key" in choice.kinds
        self._finds_assignments = "env" in choice.kinds

    def find(self, body: bytes, found: re.Match[bytes]) -> Iterator[Span]:
        """The secrets whose name has a literal where `NAMED` matched."""
        end = found.end(1)
        start = _start_of_name(body, found.start())
        name = body[start:end]
        if found[2] == b'":':
            norm = _normalised(name)
            chosen = norm in self._keys and body[start - 1 : start] == b'"'
            if chosen or (self._finds_keys and norm.endswith(_KEYS)):
                yield from _value_of_key(body, end + 2, chosen)
        elif self._finds_assignments:
            yield from _assigned(body, name, end)


def _normalised(name: bytes) -> bytes:
    return name.translate(None, b"-_.").lower()


def _start_of_name(body: bytes, at: int) -> int:
    before = body[max(at - _LONGEST_NAME, 0) : at]
    start = at - len(before) + len(before.rstrip(_OF_NAMES))
    if start < at and body[start - 1 : start] == b"\\" and body[start] in _ESCAPED:
        start += 1
    return start


def _value_of_key(body: bytes, at: int, chosen: bool) -> Iterator[Span]:
    """A string; for a key that the settings name also numbers, and all that is nested in it."""
    value = _VALUE_OF_KEY.match(body, at)
    if value is None:  # true, false, null
        return
    secret, number = value.groups()
    if secret is not None:
        if secret and (chosen or not is_placeholder(secret)):
            yield Span(*value.span(1), "key")
    elif chosen and number is not None:
        yield Span(*value.span(2), None)
    elif chosen:
        depth = 0
        for part in _PART_OF_JSON.finditer(body, at):
            if part[1]:
                if not part[2]:
                    yield Span(*part.span(1), "key")
            elif part[3]:
                yield Span(*part.span(3), None)
            elif part[1] is None:
                depth += 1 if part[0] in b"[{" else -1
                if depth == 0:
                    return


def _assigned(body: bytes, name: bytes, end: int) -> Iterator[Span]:
    assigns = _ASSIGNS.match(body, end)
    if assigns is None:
        return
    operator, quote = assigns.groups()
    first, rest = _VALUES[quote[-1:] if quote else b""]
    value = first.match(body, assigns.end())
    if value is None:
        return
    if operator == b"=" and _SHELL_NAME.fullmatch(name):
        is_secret = len(value[0]) >= 4 and not (len(value[0]) < 6 and value[0].isdigit())
    else:
        norm = _normalised(name)
        shortest = _SHORTEST_TOKEN if norm == b"token" else 0
        is_secret = (
            norm.endswith(_ASSIGNED)
            and len(value[0]) >= shortest
            and (_MIXED_IN_QUOTES if quote else _MIXED).match(value[0]) is not None
            and (bool(quote) or not _is_code(body, value))
        )
    if is_secret and not is_placeholder(value[0]):
        remainder = rest.match(body, value.end())
        yield Span(value.start(), remainder.end() if remainder else value.end(), "env")


def _is_code(body: bytes, value: re.Match[bytes]) -> bool:
    """Whether a bare value is a call, an index or an attribute."""
    return body[value.end() : value.end() + 1] in (b"(", b"[") or bool(_ATTRIBUTE.match(value[0]))
