"""Secrets for tests, made when they run: no file of the repository looks as if it held one."""

import random
import string
from typing import NamedTuple

BASE62 = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


class Form(NamedTuple):
    """A text with a secret in it; the secret alone is replaced."""

    kind: str
    before: str
    secret: str
    after: str = ""

    @property
    def text(self) -> str:
        return self.before + self.secret + self.after

    @property
    def redacted(self) -> str:
        return f"{self.before}[redacted:{self.kind}]{self.after}"


def pieces(secret: str) -> list[bytes]:
    """Telling pieces of a secret, as any encoding of JSON has them."""
    lines = [line for line in secret.split("\n") if not line.startswith("-----")]
    return [line[-10:].encode() for line in lines if len(line) >= 10] or [secret.encode()]


def _of(rng: random.Random, alphabet: str, length: int) -> str:
    """Random characters, with a digit, a capital and a small letter where the alphabet has them."""
    sure = "7Qk" if alphabet == BASE62 else "7a"
    return sure + "".join(rng.choices(alphabet, k=length - len(sure)))


def forms(seed: int) -> list[Form]:
    """One of each form; another seed gives other secrets."""
    rng = random.Random(seed)

    def text(length: int) -> str:
        return _of(rng, BASE62, length)

    def digits(length: int) -> str:
        return _of(rng, HEX, length)

    tokens = [
        *(f"gh{letter}_" + text(36) for letter in "pousr"),
        "github_pat_" + text(22) + "_" + text(59),
        *(f"gl{part}-" + text(20) for part in ("pat", "dt", "rt", "ft", "ptt", "soat")),
        *(f"{part}" + "Q7" + "Z" * 14 for part in ("AKIA", "ASIA")),
        *(f"xox{letter}-" + "2" * 11 + "-" + text(24) for letter in "abpors"),
        "xapp-1-" + text(40),
        *(f"{part}_" + text(24) for part in ("sk_live", "rk_live", "sk_test")),
        "whsec_" + text(32),
        *(f"sk-{part}" + text(48) for part in ("", "proj-", "ant-api03-")),
        "AIza" + text(35),
        "ya29." + text(40),
        "GOCSPX-" + text(28),
        "npm_" + text(36),
        "slt_" + text(43),
        "pypi-AgEIcHlwaS5vcmc" + text(120),
        "SG." + text(22) + "." + text(43),
        "sq0csp-" + text(43),
        "hf_" + text(34),
        "dop_v1_" + digits(64),
        "shpat_" + digits(32),
        "dapi" + digits(32),
        "lin_api_" + text(40),
        "ntn_" + text(46),
        "gsk_" + text(52),
        "hvs." + text(24),
        "dckr_pat_" + text(27),
        "glsa_" + text(32) + "_" + digits(8),
        "AGE-SECRET-KEY-1" + "Q7" * 29,
        "xai-" + text(80),
        "tskey-auth-" + text(17) + "-" + text(32),
        digits(32) + "-us12",
    ]
    key = "\n".join(text(64) for _ in range(20))
    user = text(6)
    return [
        *(Form("token", "", token) for token in tokens),
        Form("token", "https://hooks.slack.com/services/", "T7/B7/" + text(24)),
        Form("token", "AccountKey=", text(86) + "=="),
        Form("token", "712345678", ":AA" + text(33)),
        *(
            Form(
                "private_key", "", f"-----BEGIN {name}-----\n{body}\n-----END {name}-----", "\nrest"
            )
            for name in ("PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY")
            for body in (key, key.replace("\n", "\r\n"))
        ),
        Form("private_key", "", "-----BEGIN EC PRIVATE KEY-----\n" + key),  # cut off
        Form("jwt", "", "eyJ" + text(20) + ".eyJ" + text(40) + "." + text(43)),
        *(
            Form("authorization", before, text(20), after)
            for before, after in (
                ("Authorization: Bearer ", ""),
                ("curl -H 'authorization: Basic ", "' http://h"),
                ('"Authorization": "token ', '"'),
                ("Proxy-Authorization: Basic ", "\r\nHost: h"),
                ("sent Bearer ", " to it"),
            )
        ),
        Form("url", f"postgres://{user}:", text(9), "@db.local:5432/x"),
        Form("url", "https://a.b%40c:", "p@" + text(5), "@h.example/path?q=1"),
        Form("url", "redis://:", text(8), "@localhost"),
        *(
            Form("env", before, text(12), after)
            for before, after in (
                ("API_KEY=", ""),
                ("export DB_PASSWORD=", "\nX=1"),
                ("A=1\nGITHUB_TOKEN=", "\r\n"),
                ('MY_SECRET="', '"'),
                ("docker run -e APP_SECRET_PROD='", "' image"),
                ("password = '", "'"),
                ('"client_secret": "', '"'),
                ("aws_secret_access_key = ", ""),
                ("Server=db;Password=", ";"),
                ("?api_key=", "&x=1"),
            )
        ),
    ]


COUNT = len(forms(0))
