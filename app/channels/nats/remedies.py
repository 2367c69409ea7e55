"""What to do about NATS when it cannot be used: the cause decides, not a guess."""

import ssl

from nats.errors import AuthorizationError, NoRespondersError

from ...settings import PREFIX
from .stream import RefusedError

_URL = f"{PREFIX}NATS_URL"


def said(trouble: BaseException | None) -> str:
    """What went wrong, in the words of whatever it was."""
    if trouble is None:
        return "no answer"
    return str(trouble) or type(trouble).__name__


def cannot_be_used(trouble: BaseException | None, domain: str | None) -> str:
    """One line for a start that failed: what happened and what mends it."""
    return f"NATS cannot be used ({said(trouble)}): {_remedy(trouble, domain)}"


def _remedy(trouble: BaseException | None, domain: str | None) -> str:
    text = said(trouble)
    match trouble:
        case RefusedError():
            return (
                f"correct {PREFIX}NATS_REPLICAS, {PREFIX}NATS_MAX_AGE_S or {PREFIX}NATS_MAX_BYTES,"
                " or give NATS the servers and the room that they ask for; where subjects overlap,"
                " use an account of its own"
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
