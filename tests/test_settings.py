from pathlib import Path

import pytest

from app.errors import SettingsError
from app.settings import Settings


def read(**variables: str) -> Settings:
    return Settings.from_environ({f"SIGHTLINE_{name}": text for name, text in variables.items()})


def test_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environ({"PATH": "/bin"}) == Settings()


def test_reads_every_kind() -> None:
    settings = read(
        MAX_CLIENTS="3",
        REPLAY_WINDOW_S="0.5",
        STATE_DIR="/tmp/x",
        ALLOWED_ORIGINS="http://localhost:5173, https://[::1]:8443,",
        ALLOWED_HOSTS="example.org:3000",
        EXTRA_NAMESPACES="deploy,load_test",
        LOG_FORMAT="json",
        LOG_LEVEL="DEBUG",
        WORKSPACE="",
        NATS_URL="nats://127.0.0.1:4222, tls://[::1]:4223",
        NATS_STREAM="blue-1",
        NATS_DOMAIN="hub",
        REDACT="token, jwt,key:password_hint",
        NATS_REPLICAS="3",
        TRUSTED_USER_HEADER="X-Forwarded-User",
        TRUSTED_PROXIES="10.0.0.0/24, fd00::5,unix",
        TRUSTED_USERS="alice@x.org=admin *=read:git.*,chat.*",
    )
    assert settings == Settings(
        max_clients=3,
        replay_window_s=0.5,
        state_dir=Path("/tmp/x"),
        allowed_origins=("http://localhost:5173", "https://[::1]:8443"),
        allowed_hosts=("example.org:3000",),
        extra_namespaces=("deploy", "load_test"),
        log_format="json",
        log_level="debug",
        workspace=None,
        nats_url="nats://127.0.0.1:4222,tls://[::1]:4223",
        nats_stream="blue-1",
        nats_domain="hub",
        nats_replicas=3,
        trusted_user_header="X-Forwarded-User",
        trusted_proxies=("10.0.0.0/24", "fd00::5", "unix"),
        trusted_users=("alice@x.org=admin", "*=read:git.*,chat.*"),
        redact=("token", "jwt", "key:password_hint"),
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_CLIENTS", "many"),
        ("MAX_CLIENTS", "0"),
        ("QUEUE_SIZE", "-1"),
        ("QUEUE_SIZE", ""),
        ("REPLAY_WINDOW_S", "nan"),
        ("PONG_TIMEOUT_S", "inf"),
        ("STATE_DIR", ""),
        ("ALLOWED_ORIGINS", "http://localhost/"),
        ("ALLOWED_ORIGINS", "localhost:3000"),
        ("ALLOWED_ORIGINS", "http://user@localhost"),
        ("ALLOWED_ORIGINS", "http://localhost:99999"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "http://[::1"),
        ("ALLOWED_HOSTS", "a/b"),
        ("EXTRA_NAMESPACES", "Deploy"),
        ("TRUSTED_USER_HEADER", "Authorization"),
        ("TRUSTED_USER_HEADER", "Sec-Fetch-Site"),
        ("TRUSTED_USER_HEADER", "X_User"),
        ("TRUSTED_PROXIES", "proxy.example.org"),
        ("TRUSTED_PROXIES", "10.0.0.5/24"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("TRUSTED_PROXIES", "::/0"),
        ("TRUSTED_PROXIES", "::ffff:10.0.0.0/104"),
        ("TRUSTED_USERS", "alice"),
        ("JWT_JWKS", "http://login.example.org/jwks"),
        ("JWT_JWKS", "https://user:pass@login.example.org/jwks"),
        ("JWT_JWKS", "ftp://login.example.org/jwks"),
        ("JWT_SCOPES_CLAIM", ""),
        ("NATS_STREAM", "a.b"),
        ("NATS_DOMAIN", "a.b"),
        ("NATS_DOMAIN", ">"),
        ("NATS_REPLICAS", "6"),
        ("NATS_MAX_AGE_S", "0"),
        ("NATS_PUBLISH_WAIT_S", "soon"),
        ("REDACT", "tokens"),
        ("REDACT", "all,key:"),
        ("REDACT", "key:a b"),
        ("REDACT", "key:é"),
        ("REDACT", "key:--"),
        ("REDACT", "key:" + "k" * 65),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud\nline"),
    ],
)
def test_bad_value_is_one_line_with_name_value_and_remedy(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: text})
    message = str(caught.value)
    assert message.startswith(f"SIGHTLINE_{name}: {text!r} does not fit; give ")
    assert "\n" not in message


@pytest.mark.parametrize("text", ["short,er", "with a space in the middle", "naïve-token", ""])
def test_bad_token_is_never_shown(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(SESSION_TOKEN=text)
    assert "SIGHTLINE_SESSION_TOKEN" in str(caught.value)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["http://u:hunter2@host", "nats://u:hunter2@", "nats://host:0", "hunter2:4222"]
)
def test_a_bad_url_of_nats_is_never_shown(text: str) -> None:
    with pytest.raises(SettingsError, match="SIGHTLINE_NATS_URL") as caught:
        read(NATS_URL=text)
    assert "hunter2" not in str(caught.value)


def test_repr_hides_a_password_of_nats() -> None:
    assert "hunter2" not in repr(read(NATS_URL="nats://u:hunter2@host"))


def test_an_empty_url_of_nats_is_none() -> None:
    assert read(NATS_URL="").nats_url is None


def test_repr_hides_the_token() -> None:
    token = "abcdefghijklmnop"
    settings = read(SESSION_TOKEN=token)
    assert settings.session_token == token
    assert token not in repr(settings)


def test_the_clients_address_of_a_gateway_is_no_setting_and_no_mistake() -> None:
    assert read(URL="http://127.0.0.1:3000") == Settings()


def test_unknown_variable_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="nearest is SIGHTLINE_MAX_CLIENTS"):
        read(MAX_CLIENT="3")


def test_the_defaults_are_those_that_the_protocol_promises() -> None:
    settings = Settings()
    assert (settings.max_clients, settings.queue_size, settings.replay_limit) == (10, 1000, 100)
    assert (settings.replay_window_s, settings.heartbeat_interval_s) == (30, 30)
    assert (settings.pong_timeout_s, settings.workspace) == (5, Path("."))
    assert (settings.max_message_bytes, settings.max_event_bytes) == (64 * 1024, 256 * 1024)
