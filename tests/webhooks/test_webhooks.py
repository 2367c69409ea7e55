"""Entries, signatures, texts and pauses of webhooks. Pure."""

import base64
import time
from typing import Any

import pytest

from app.errors import SettingsError
from app.settings import Settings
from app.webhooks.attempts import LONGEST_PAUSE_S, MAX_ATTEMPTS, Answer, pause_after, retry_after
from app.webhooks.endpoint import Endpoint, endpoint_of
from app.webhooks.message import Message, message_of, slack_text
from tests.kit.receiver import OLD_SECRET, SECRET, Received
from tests.snippets import snippets
from tests.support import make_event

(VERIFY,) = snippets("docs/webhooks.md", "python")


def read(**variables: str) -> Settings:
    return Settings.from_environ({f"SIGHTLINE_{name}": text for name, text in variables.items()})


def test_an_entry_names_patterns_and_a_url() -> None:
    found = endpoint_of("agent.attention_needed,*.failed,*=https://u:p@example.org:8443/a,b?c=d")
    assert found.patterns == ("agent.attention_needed", "*.failed", "*")
    assert (found.host, found.slack) == ("example.org:8443", False)
    assert found.address == "https://example.org:8443/a,b?c=d"
    assert endpoint_of("slack:agent.*=http://[::1]:99/x") == Endpoint(
        ("agent.*",), "http://[::1]:99/x", True
    )


def test_the_setting_holds_entries_separated_by_spaces_and_lines() -> None:
    two = "chat.*=http://a/x\n  slack:agent.*=https://b"
    settings = read(WEBHOOKS=two, WEBHOOK_SECRET=f"{SECRET} {OLD_SECRET}")
    assert settings.webhooks == ("chat.*=http://a/x", "slack:agent.*=https://b")
    assert settings.webhook_secret == (SECRET, OLD_SECRET)
    assert read(WEBHOOKS="", WEBHOOK_SECRET="") == Settings()
    assert "http://a" not in repr(settings)
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("WEBHOOKS", f"{bad}/hunter2") for bad in ("https://h", "=https://h", "chat=https://h")),
        *(
            ("WEBHOOKS", f"chat.*={bad}/hunter2")
            for bad in ("h", "ftp://h", "https://", "http://é")
        ),
        *(
            ("WEBHOOKS", f"chat.*=https://{bad}/hunter2")
            for bad in ("h:x", "h:99999", "h:0", "a|b", "user:12/pw@evil.example")
        ),
        ("WEBHOOKS", "chat.*=https://h/hunter2 " * 17),
        ("WEBHOOK_SECRET", "hunter2"),
        ("WEBHOOK_SECRET", "whsec_hunter2"),
        ("WEBHOOK_SECRET", base64.b64encode(bytes(32)).decode()),
        ("WEBHOOK_SECRET", "whsec_" + base64.b64encode(bytes(23)).decode()),
        ("WEBHOOK_SECRET", "whsec_" + base64.b64encode(bytes(65)).decode()),
    ],
)
def test_what_does_not_fit_is_refused_and_not_shown(name: str, text: str) -> None:
    with pytest.raises(
        SettingsError, match=f"SIGHTLINE_{name}: its value \\(not shown\\)"
    ) as caught:
        read(**{name: text})
    assert "hunter2" not in str(caught.value)


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of the specification's reference libraries.
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', True)
    headers = message.headers(1614265330, [key])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_each_secret_gives_a_signature_and_the_id_has_no_dot() -> None:
    message = message_of(make_event(7), "a.b", slack=False)
    assert (message.id, message.body) == ("msg_a-b_7", make_event(7).encoded)
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in (SECRET, OLD_SECRET)]
    one = Received("", message.headers(1, keys), message.body)
    assert one.is_signed_with(SECRET)
    assert one.is_signed_with(OLD_SECRET)
    assert "webhook-signature" not in message_of(make_event(7), "a", slack=True).headers(1, keys)


@pytest.mark.parametrize(
    ("type_", "data", "text"),
    [
        (
            "agent.attention_needed",
            b'{"session_id":"s","reason":"failed","message":"A <b>\\n& c","folder":"/w"}',
            "An agent failed: A &lt;b&gt; &amp; c (in /w, session s)",
        ),
        ("agent.attention_needed", b'{"reason":"odd"}', "An agent needs you: odd"),
        ("agent.attention_needed", b'{"reason":7,"message":[]}', "An agent needs you"),
        ("workflow.failed", b'{"error":"no disk"}', "workflow.failed: no disk"),
        ("git.committed", b"{}", "git.committed"),
    ],
)
def test_the_text_for_slack_says_who_needs_what_and_where(
    type_: str, data: bytes, text: str
) -> None:
    assert slack_text(make_event(1, type_, data=data)) == text


def test_pauses_double_up_to_a_bound_and_end_after_the_last_attempt() -> None:
    pauses = [pause_after(attempt, Answer(500), lambda: 1.0) for attempt in range(1, MAX_ATTEMPTS)]
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE_S]
    assert pause_after(3, Answer(error="no answer"), lambda: 0.0) == 2
    assert pause_after(MAX_ATTEMPTS, Answer(500), lambda: 1.0) is None
    assert pause_after(1, Answer(410), lambda: 1.0) is None
    assert pause_after(1, Answer(429, retry_after_s=20), lambda: 1.0) == 20
    assert pause_after(1, Answer(429, retry_after_s=99_999), lambda: 1.0) == 300
    assert [retry_after(header) for header in ("12", "-1", "soon", "٣", "9" * 9)] == [
        12,
        0,
        0,
        0,
        0,
    ]


def test_the_receiver_of_the_document_takes_what_is_genuine_and_fresh_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec(VERIFY, names)
    is_genuine, now = names["is_genuine"], int(time.time())
    message = message_of(make_event(7), "a.b", slack=False)
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in (OLD_SECRET, SECRET)]
    headers = message.headers(now, keys)
    assert is_genuine(headers, message.body, SECRET)
    assert not is_genuine(headers, message.body + b" ", SECRET)
    assert not is_genuine(message.headers(now, keys[:1]), message.body, SECRET)
    assert not is_genuine(message.headers(now - 400, keys), message.body, SECRET)
