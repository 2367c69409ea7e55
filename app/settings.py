"""`Settings`: read once from `SIGHTLINE_*` variables. `parsers.py` says which values fit."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from .errors import SettingsError
from .parsers import MIB, PARSERS, is_session_token as is_session_token

PREFIX = "SIGHTLINE_"
SHOWN_CHARACTERS = 80
JOURNAL_FILE = "journal.db"
OF_CLIENTS = PREFIX + "URL"  # read by the Python client; not a setting of the gateway

# A URL may hold a password.
_SECRET = ("session_token", "nats_url", "webhooks", "webhook_secret")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults suit one developer on one machine. Sizes are in bytes, names in `_s` in seconds."""

    session_token: str | None = None
    state_dir: Path = Path(".sightline")
    # Where named tokens are: in a file of the state folder, or in a bucket that gateways on NATS share.
    tokens: Literal["file", "nats"] = "file"
    max_clients: int = 10
    queue_size: int = 1000
    queue_max_bytes: int = 16 * MIB
    replay_limit: int = 100
    replay_window_s: float = 30
    replay_max_bytes: int = 64 * MIB
    replay_max_events: int = 100_000
    heartbeat_interval_s: float = 30
    pong_timeout_s: float = 5
    max_message_bytes: int = 65536
    max_event_bytes: int = 262144
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    trusted_user_header: str | None = None  # in which a trusted proxy names the user
    trusted_proxies: tuple[str, ...] = ()  # addresses, networks, or "unix"
    trusted_users: tuple[str, ...] = ("*=read",)  # entries like alice=admin or bob=read:git.*
    jwt_jwks: str | None = None  # a file or an https:// address with the issuer's public keys
    jwt_issuer: str | None = None
    jwt_audience: tuple[str, ...] = ()
    jwt_scopes_claim: str = "scope"
    extra_namespaces: tuple[str, ...] = ()
    workspace: Path | None = Path(".")
    nats_url: str | None = None  # None: a single gateway, with its memory as the log
    nats_stream: str = "sightline"
    nats_domain: str | None = None  # the JetStream domain of the stream; None: the server's own
    nats_replicas: int = 1
    nats_max_age_s: float = 3600  # retention of the stream; clients resume within `replay_window_s`
    nats_max_bytes: int = 1024 * MIB
    nats_publish_wait_s: float = 5
    journal: str = (
        "auto"  # a file below the state folder, "" for none; "auto" is DEFAULT without NATS
    )
    journal_max_bytes: int = 1024 * MIB  # on disk, index and write-ahead log included
    journal_max_age_days: float = 30
    journal_leave_out: tuple[str, ...] = (
        "chat.streaming_chunk",
    )  # event types that are not stored
    # What is replaced in events: all, kinds, and `key:NAME`; "" for nothing.
    redact: tuple[str, ...] = ("all",)
    webhooks: tuple[str, ...] = ()  # entries like agent.attention_needed=https://example.org/hook
    webhook_secret: tuple[str, ...] = ()  # each signs every webhook; the first is the newest
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: str = "info"

    @property
    def journal_path(self) -> Path | None:
        """The journal's file, or None. By default, NATS has the history in the stream instead."""
        if self.journal == "auto":
            return self.state_dir / JOURNAL_FILE if self.nats_url is None else None
        return self.state_dir / self.journal if self.journal else None

    def __repr__(self) -> str:
        """All values, with secrets redacted."""
        shown = (
            f"{name}={'[redacted]' if name in _SECRET else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"Settings({', '.join(shown)})"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the `SIGHTLINE_*` variables.

        Raises:
            SettingsError: a variable is unknown, or its value does not fit; one line.
        """
        values: dict[str, object] = {}
        for variable, text in environ.items():
            if not variable.startswith(PREFIX) or variable == OF_CLIENTS:
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name not in PARSERS or variable != PREFIX + name.upper():
                raise SettingsError(_unknown(variable))
            parse, fits = PARSERS[name]
            try:
                values[name] = parse(text)
            except ValueError:
                shown = "its value (not shown)" if name in _SECRET else _shorten(text)
                raise SettingsError(f"{variable}: {shown} does not fit; give {fits}") from None
        return msgspec.convert(values, cls)


def _unknown(variable: str) -> str:
    known = [PREFIX + name.upper() for name in PARSERS]
    nearest = difflib.get_close_matches(variable.upper(), known, n=1, cutoff=0)[0]
    return f"{_shorten(variable)[1:-1]} is not a setting; the nearest is {nearest}"


def _shorten(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…")
