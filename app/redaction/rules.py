"""Secrets that their own shape gives away: a literal that a search finds, then a pattern.

Patterns read JSON as it is encoded: a raw quote ends the string, and a backslash begins an escape.
Each is matched only where one of its literals begins. Time stays linear, because a pattern either
takes what it has read, or reads a bounded number of bytes or one run between two boundaries.
"""

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """The group that matched is the secret, or the whole match where there is none."""

    kind: str
    literals: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    before: int = 0  # bytes in front of the match that belong to the secret


# No letter or digit in front, unless it ends an escape: `\n`, `\u0000`, a colour of a terminal.
_ESCAPE = rb"(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=[0-9\[]m)"
_BEGIN = rb"(?:(?<![A-Za-z0-9_])|" + _ESCAPE + rb")"
_BEGIN_RUN = rb"(?:(?<![A-Za-z0-9_-])|" + _ESCAPE + rb")"
_END = rb"(?![A-Za-z0-9])"
_CHARACTER = rb'(?:[^"\\]|\\.)'

# Literals that begin a provider's token, and the rest of it.
_TOKENS: tuple[tuple[str, bytes], ...] = (
    ("ghp_ gho_ ghu_ ghs_ ghr_", rb"gh[a-z]_[A-Za-z0-9_]{30,}+"),
    ("github_pat_", rb"github_pat_[A-Za-z0-9_]{22,}+"),
    (
        "glpat- gldt- glrt- glft- glptt- glsoat- glcbt- gloas-",
        rb"gl[a-z]+-[A-Za-z0-9_-]{20,}+(?:\.[A-Za-z0-9_-]++)*+",
    ),
    ("GR1348941", rb"GR1348941[A-Za-z0-9_-]{20,}+"),
    ("AKIA ASIA ABIA ACCA A3T", rb"A[A-Z3][A-Z][A-Z0-9][A-Z0-9]{16}(?<!EXAMPLE)" + _END),
    ("xoxa- xoxb- xoxe xoxo- xoxp- xoxr- xoxs-", rb"xox[a-z](?:\.xox[bp])?-[A-Za-z0-9-]{10,}+"),
    ("xapp-", rb"xapp-[A-Za-z0-9-]{20,}+"),
    ("hooks.slack.com", rb"hooks\.slack\.com/[a-z]++/([A-Za-z0-9/+]{20,}+)"),
    ("sk_live_ sk_test_ rk_live_ rk_test_", rb"[rs]k_[a-z]{4}_[A-Za-z0-9]{10,}+"),
    ("whsec_", rb"whsec_[A-Za-z0-9+/]{24,}+=*+"),
    # A digit and a capital: names of styles begin with `sk-` too.
    (
        "sk-",
        rb"sk-(?=[A-Za-z_-]{0,60}[0-9])(?=[a-z0-9_-]{0,60}[A-Z])[A-Za-z0-9_-]{20,}+",
    ),
    ("AIza", rb"AIza[A-Za-z0-9_-]{35}"),
    ("ya29.", rb"ya29\.[A-Za-z0-9_-]{20,}+"),
    ("GOCSPX-", rb"GOCSPX-[A-Za-z0-9_-]{20,}+"),
    ("npm_", rb"npm_[A-Za-z0-9]{36,}+"),
    ("pypi-Ag", rb"pypi-Ag[A-Za-z0-9_-]{40,}+"),
    ("SG.", rb"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}+"),
    ("sq0", rb"sq0[a-z]{3}-[A-Za-z0-9_-]{22,}+"),
    ("hf_", rb"hf_[A-Za-z0-9]{30,}+"),
    ("dop_v1_ doo_v1_ dor_v1_", rb"do[a-z]_v1_[a-f0-9]{40,}+"),
    ("shpat_ shpss_ shpca_", rb"shp[a-z]{2}_[A-Fa-f0-9]{32,}+"),
    ("dapi", rb"dapi[a-f0-9]{32}" + _END),
    ("lin_api_", rb"lin_api_[A-Za-z0-9]{32,}+"),
    ("ntn_", rb"ntn_[A-Za-z0-9]{40,}+"),
    ("gsk_", rb"gsk_[A-Za-z0-9]{40,}+"),
    ("hvs. hvb.", rb"hv[a-z]\.[A-Za-z0-9_-]{24,}+"),
    ("dckr_", rb"dckr_[a-z]{3}_[A-Za-z0-9_-]{20,}+"),
    ("NRAK-", rb"NRAK-[A-Z0-9]{27}"),
    ("PMAK-", rb"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    ("slt_", rb"slt_[A-Za-z0-9_-]{43}"),  # of `app.auth.named`
    ("glsa_", rb"glsa_[A-Za-z0-9_]{32,}+"),
    ("ATATT3", rb"ATATT3[A-Za-z0-9_=-]{50,}+"),
    ("AGE-SECRET-KEY-1", rb"AGE-SECRET-KEY-1[A-Z0-9]{50,}+"),
    ("xai-", rb"xai-[A-Za-z0-9]{60,}+"),
    ("tskey-", rb"tskey-[a-z]++-[A-Za-z0-9-]{20,}+"),
    ("AKCp", rb"AKCp[A-Za-z0-9]{10,}+"),
)
# Tokens whose telling part is not at their beginning.
_OTHER_TOKENS = (
    Rule("token", (b"-us",), re.compile(rb"(?<=[0-9a-f]{32})-us[0-9]{1,2}" + _END), 32),
    Rule("token", (b":AA",), re.compile(rb"(?<=[0-9]{8})(:AA[A-Za-z0-9_-]{30,40})")),
    Rule("token", (b"AccountKey=",), re.compile(rb"AccountKey=([A-Za-z0-9+/]{40,}+=*+)")),
    Rule(
        "token",
        (b"/api/webhooks/",),
        re.compile(rb"/api/webhooks/[0-9]{10,}+/([A-Za-z0-9_-]{40,}+)"),
    ),
)
_SCHEME = rb"(?:[Bb]earer|BEARER|[Bb]asic|[Tt]oken|[Dd]igest|[Aa]pi[Kk]ey|[Nn]egotiate)"
# A word of small letters only is prose, such as "bearer authentication", unless it is long.
_CREDENTIAL = rb"((?=[a-z]{0,40}(?:[A-Z0-9=+]|[a-z]{24}))[A-Za-z0-9+/=._~:-]{%d,}+)"

RULES = (
    *(
        Rule(
            "token",
            tuple(literal.encode() for literal in literals.split()),
            re.compile(_BEGIN + pattern),
        )
        for literals, pattern in _TOKENS
    ),
    *_OTHER_TOKENS,
    Rule(
        "private_key",
        (b"-----BEGIN",),
        re.compile(
            rb"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
            # A new line or a piece of a key, so not a search for keys; and no dots in its place.
            rb"(?=\\+[nr]|\s?[A-Za-z0-9+][A-Za-z0-9+/]{15})"
            rb"(?!(?:\\+[nrt]|\s)*+(?:\.|\xe2\x80\xa6))"
            # To its end, or where the text was cut.
            rb"(?:[^\"\\-]|\\++[^\"\\]|-(?!----))*+(?:-----END [A-Z0-9 ]{0,60}-----)?"
        ),
    ),
    Rule(
        "private_key",
        (b"PuTTY-User-Key-File",),
        re.compile(rb"PuTTY-User-Key-File-[0-9]:" + _CHARACTER + rb"*+"),
    ),
    Rule(
        "jwt",
        (b"eyJ",),
        re.compile(
            _BEGIN_RUN + rb"eyJ[A-Za-z0-9_-]{8,}+\.ey[A-Za-z0-9_-]{6,}+(?:\.[A-Za-z0-9_=-]*+){0,3}+"
        ),
    ),
    Rule(
        "authorization",
        (b"uthorization", b"UTHORIZATION"),
        re.compile(
            rb"(?:uthorization|UTHORIZATION)(?:\\+\"|')?\s{0,4}[:=]\s{0,4}(?:\\+\"|')?(?:"
            + _SCHEME
            + rb"\s{1,4}"
            + _CREDENTIAL % 4
            + rb"|(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9+/=._~:-]{16,}+|AWS4-HMAC-SHA256 [^\"\\']++)"
        ),
    ),
    Rule("authorization", (b"earer ",), re.compile(rb"earer {1,4}" + _CREDENTIAL % 16)),
    # The password may hold `@`: it ends at the last one.
    Rule(
        "url",
        (b"://",),
        re.compile(
            rb"://[^\s/:@\"'\\<>]{0,100}:([^\s/\"'\\<>]{1,200})@(?=[A-Za-z0-9\[_-])",
        ),
    ),
)
