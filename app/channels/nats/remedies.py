"""Messages for when NATS cannot be used; the cause decides which remedy they name."""

import ssl

from nats.errors import AuthorizationError, NoRespondersError

from ...settings import PREFIX
from .stream import RefusedError

_URL = f"{PREFIX}NATS_URL"


def text_of(trouble: BaseException | None) -> str:
    """The text of an error, never empty."""
    if trouble is None:
        return "no answer"
    return str(trouble) or type(trouble).__name__


def cannot_be_used(trouble: BaseException | None, domain: str | None) -> str:
    """The message for a start that failed: the cause and the remedy."""
    return f"NATS cannot be used ({text_of(trouble)}): {_remedy(trouble, domain)}"


def not_filled(wait_s: float, lag: int) -> str:
    """The message for a start that did not reach the end of the stream in time."""
    return (
        f"the replay log is not filled after {wait_s:g} s, {lag} events are missing:"
        f" lower {PREFIX}REPLAY_WINDOW_S or {PREFIX}REPLAY_MAX_EVENTS"
    )


def _remedy(trouble: BaseException | None, domain: str | None) -> str:
    text = text_of(trouble)
    match trouble:
        case RefusedError():
            return (
                f"correct {PREFIX}NATS_REPLICAS, {PREFIX}NATS_MAX_AGE_S or {PREFIX}NATS_MAX_BYTES,"
                " or give NATS the servers and the storage that they ask for; if subjects overlap,"
                " use a separate account"
            )
        case NoRespondersError() if domain:
            return f"no JetStream of the domain {domain!r} answers: correct {PREFIX}NATS_DOMAIN"
        case NoRespondersError():
            return "start it with JetStream (`-js`)"
        case AuthorizationError():
            return f"correct the user, password or token in {_URL}"
    if isinstance(trouble, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"name the host in {_URL} as its certificate does, and if its authority is your own,"
            " name the file with that authority's certificate in SSL_CERT_FILE"
        )
    if isinstance(trouble, ssl.SSLError) or "[SSL" in text:
        return f"give {_URL} the scheme and port that NATS serves: tls:// or wss:// only with TLS"
    if "authorization" in text.lower() or "authentication" in text.lower():
        return f"correct the user, password or token in {_URL}"
    if isinstance(trouble, OSError):
        return f"start it, or correct the address in {_URL}"
    return f"start it with JetStream (`-js`), or correct {_URL}"
