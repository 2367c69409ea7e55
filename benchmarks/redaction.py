"""`python -m benchmarks.redaction`: what redaction costs, misses and takes wrongly.

It is compared with the detectors of `detect-secrets`, on the forms that the tests of that package
have, with fresh values, and on what real agents sent. Files of JSON lines can be named for more.
"""

import random
import re
import string
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from detect_secrets.core.scan import scan_line
from detect_secrets.settings import default_settings

from app.redaction import Redactor

RECORDINGS = Path(__file__).parent.parent / "tests/recordings"
ALPHABETS = {
    "h": "0123456789abcdef",
    "a": string.ascii_letters + string.digits,
    "U": string.ascii_uppercase + string.digits,
    "d": string.digits,
    "l": string.ascii_lowercase,
    "p": string.ascii_letters + string.digits + "$_-{[(>)]}",  # the keyword detector's password
}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI@a20.@a43"
KEY_NAMES = ("password", "apikey", "api_key", "aws_secret_access_key", "db_pass", "private_key")
# A form for each kind of line in the tests of each detector: `@a20` is 20 random characters.
FORMS: dict[str, list[str]] = {
    "ArtifactoryDetector": ["AKC@a10", "X-JFrog-Art-Api: AKC@a12", "artif-key:AP6@a12"],
    "AWSKeyDetector": ["AKIA@U16", "ASIA@U16", "A3T0@U16", 'aws_access_key = "@a40"'],
    "AzureStorageKeyDetector": ["AccountKey=@a86=="],
    "BasicAuthDetector": ["https://username:@a9@yelp.com", "amqp://u:@a6@10.0.0.1:5672/v"],
    "CloudantDetector": [
        "https://me:@h64@me.cloudant.com",
        "https://me:@l24@me.cloudant.com/_api/v2/",
        "cloudant_password='@h64'",
        'cloudant_pw="@h64"',
        'cloudant_key = "@l24"',
    ],
    "DiscordBotTokenDetector": ["M@a23.@a6.@a27"],
    "GitHubTokenDetector": ["ghp_@a36", "gho_@a36", "ghs_@a36"],
    "GitLabTokenDetector": ["glpat-@a20", "gldt-@a20", "glsoat-@a40", "GR1348941@a20"],
    "IbmCloudIamDetector": [
        "ibm-cloud_api_key: @a44",
        'IBM-API-KEY : "@a44"',
        '"iam-password": "@a44"',
        "ibm-cloud-key:@a44",
        "IBMCLOUDIAMAPIKEY=@a44",
        "ibm_api_key := @a44",
    ],
    "IbmCosHmacDetector": ['cos_hmac_secret_access_key = "@h48"', '"secret_access_key":"@h48"'],
    "JwtTokenDetector": [JWT, f"X-Token: {JWT}"],
    "KeywordDetector": [
        *(f'{name} = "@p20"' for name in KEY_NAMES),
        *(f"{name}: '@a12'" for name in KEY_NAMES),
        *(f"{name} = @a12" for name in KEY_NAMES),
        'password = "value with quotes and spaces"',
        'password_super_secure = "@a12"',
        'if (api_key != "@a12") {',
        'if ("@a12" == password) {',
        'std::string secret("@a12");',
        'password "@a12";',
    ],
    "MailchimpDetector": ["@h32-us30", "@h32-us2"],
    "NpmDetector": [
        "//registry.example/:_authToken=npm_@a36",
        "//registry.example/:_authToken=@h8-@h4-@h4-@h4-@h12",
    ],
    "OpenAIDetector": ["sk-@a20T3BlbkFJ@a20", "sk-proj-@a20T3BlbkFJ@a20"],
    "PrivateKeyDetector": [
        f"-----BEGIN {kind}-----\\n@a64\\n@a30==\\n-----END {kind}-----"
        for kind in (
            "RSA PRIVATE KEY",
            "PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        )
    ],
    "PypiTokenDetector": ["pypi-AgEIcHlwaS5vcmc@a120", "pypi-AgENdGVzdC5weXBpLm9yZw@a120"],
    "SendGridDetector": ["SG.@a22.@a43"],
    "SlackDetector": [
        "xoxb-@d8-@h18",
        "xoxp-@d6-@d6-@d6-@h18",
        "https://hooks.slack.com/services/T@U8/B@U8/@a24",
    ],
    "SoftlayerDetector": [
        'softlayer_api_key="@h64"',
        "sl_api_key: @h64",
        "http://api.softlayer.com/soap/v3/@h64",
        "softlayer-key : @h64",
    ],
    "SquareOAuthDetector": ["sq0csp-@a43"],
    "StripeDetector": ["sk_live_@a24", "rk_live_@a24"],
    "TelegramBotTokenDetector": ["110201543:AA@a33"],
    "TwilioKeyDetector": ["SK@h32", "AC@h32"],
}
NEAR = ("eyJaaaaaaaaa.", "://a:", "password=", "-----BEGIN PRIVATE KEY-----", "sk-A", "ghp_")


def fill(form: str, rng: random.Random) -> tuple[str, list[str]]:
    """The line, and the random values in it."""
    values: list[str] = []

    def value(found: re.Match[str]) -> str:
        values.append("".join(rng.choices(ALPHABETS[found[1]], k=int(found[2]))))
        return values[-1]

    return re.sub(r"@([a-zA-Z])(\d+)", value, form), values


def strings(value: object) -> Iterable[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)


def microseconds(work: Callable[[], object], times: int = 2000) -> float:
    """The best of some runs."""
    spent = []
    for _ in range(15):
        began = time.perf_counter()
        for _ in range(times):
            work()
        spent.append((time.perf_counter() - began) / times)
    return min(spent) * 1e6


def show_cost(redactor: Redactor) -> None:
    plain = {
        "session_id": "3d5b0610-df1a-42f7-b7ba-6f7421a57ee1",
        "tool_name": "Bash",
        "summary": "make test",
        "output": ("tests/test_parser.py::test_reads 9f1c2ab PASSED in 0.12s\n" * 18)[:850],
    }
    for label, data in (
        ("without a candidate", plain),
        ("with a candidate", {**plain, "summary": "see https://example.org/task-use"}),
        ("with a secret", {**plain, "summary": "export API_KEY=" + "q7K" * 8}),
    ):
        body = msgspec.json.encode(data)
        spent = microseconds(lambda body=body: redactor.redact(body))
        encoding = microseconds(lambda data=data: msgspec.json.encode(data))
        print(
            f"{len(body):5} bytes {label:20} {spent:6.2f} µs   (encoding alone {encoding:.2f} µs)"
        )
    for near in NEAR:
        body = msgspec.json.encode({"a": near * (2**20 // len(near))})
        spent = microseconds(lambda body=body: redactor.redact(body), 1) / 1000
        print(f"1 MiB of {near!r:30} {spent:6.1f} ms")


def show_forms(redactor: Redactor, rounds: int = 20) -> None:
    print(f"\n{'forms of':26} {'lines':>5} {'detect-secrets':>14} {'redacted':>9}   left whole")
    for detector, some in FORMS.items():
        rng = random.Random(detector)
        theirs = ours = lines = 0
        missed: Counter[str] = Counter()
        for form in some:
            for _ in range(rounds):
                line, values = fill(form, rng)
                line = line.replace("\\n", "\n")
                lines += 1
                theirs += any(any(scan_line(part)) for part in line.split("\n"))
                left = redactor.redact_text(line)
                if any(value in left for value in values) or left == line:
                    missed[form] += 1
                else:
                    ours += 1
        shown = ", ".join(f"{form} ({count})" for form, count in missed.items())
        print(f"{detector:26} {lines:5} {theirs:14} {ours:9}   {shown}")


def show_activity(redactor: Redactor, name: str, files: Iterable[Path]) -> None:
    bodies: list[Any] = [
        msgspec.json.decode(line) for file in files for line in file.read_bytes().splitlines()
    ]
    changed = sum(redactor.redact(body) is not body for body in map(msgspec.json.encode, bodies))
    theirs: Counter[str] = Counter()
    for text in {text for body in bodies for text in strings(body) if len(text) < 5000}:
        for line in text.splitlines():
            theirs.update({secret.type for secret in scan_line(line)})
    print(f"\n{name}: {len(bodies)} bodies, {changed} redacted; detect-secrets: {dict(theirs)}")


def main() -> None:
    redactor = Redactor()
    show_cost(redactor)
    with default_settings():
        show_forms(redactor)
        show_activity(redactor, "tests/recordings", sorted(RECORDINGS.glob("*.jsonl")))
        for file in sys.argv[1:]:
            show_activity(redactor, file, [Path(file)])


if __name__ == "__main__":
    main()
