"""`authenticate`: who sends a request, by token, by the user of a trusted proxy or by cookie. Pure."""

from ..errors import UnauthorizedError
from .browser_rules import is_foreign_site, is_own_page
from .browsers import BrowserSession
from .credentials import (
    KEY_HEADER,
    KEY_PARAMETER,
    ByName,
    Credential,
    Headers,
    Shown,
    by_name,
    shown,
    values_of,
)
from .tokens import Keyring

_LOG_IN_AGAIN = "run `sightline login` in the gateway's folder and open the link that it prints"


def authenticate(
    headers: Headers,
    query: bytes,
    keyring: Keyring,
    *,
    changes: bool,
    address: str | None = None,
    peer: str | None = None,
    is_hook: bool = False,
) -> Credential:
    """Return the credential of a request. Every credential that the request sends must be valid.

    A browser sends a cookie for any page, and to every port of its host. So a cookie counts only
    without a token, only from our own pages, and only with the browser key, which only pages of the
    origin that logged in can read. `changes` is true for an unsafe method or a WebSocket, with which
    a foreign page could do harm unseen; the query is then ignored. `address` is the local address
    of the connection, see `proof`; `peer` is where the request comes from, see `TrustedUsers`. With
    `is_hook`, the hook token is accepted too. A token decides before the user that a trusted proxy
    names, and that user before a cookie.

    Raises:
        UnauthorizedError: a credential is missing or wrong, `X-Session-Token` is sent twice, or
            the cookie or the proxy's user does not count here.
        ForbiddenError: the proxy's user is not one of those in the settings.
    """
    headers = by_name(headers)
    seen = shown(headers, b"" if changes else query)
    user = None if keyring.users is None else keyring.users.named_in(headers, peer)
    if seen.tokens:
        doubled = len(values_of(headers, b"x-session-token")) > 1
        found = {keyring.credential_of(one, address, is_hook=is_hook) for one in {*seen.tokens}}
        if len(found) > 1:
            found.discard(keyring.hook_credential)  # beside a token that may do more
        credential = found.pop()
        if doubled or credential is None or found:
            raise UnauthorizedError(
                "the token is wrong: read .sightline/session.token again, a restart may have changed"
                " it, and send it once; a named token may have been revoked or have expired"
            )
        return credential
    if user is not None:
        _check_user_page(headers, keyring, changes=changes)
        return keyring.credential_of_user(user)
    session = browser_session(headers, seen, keyring, changes=changes)
    if not seen.keys:
        raise UnauthorizedError(
            f"the login cookie counts only with the browser key, as the {KEY_HEADER} header, the"
            f" subprotocol key.… or, on GET, the parameter {KEY_PARAMETER}: see docs/login.md;"
            f" to get one, {_LOG_IN_AGAIN}"
        )
    if not all(keyring.browser_sessions.fits(session, key) for key in seen.keys):
        raise UnauthorizedError(f"the browser key is another log-in's: {_LOG_IN_AGAIN}")
    return keyring.browser_sessions.credential(session)


def browser_session(
    headers: ByName, seen: Shown, keyring: Keyring, *, changes: bool
) -> BrowserSession:
    """The session of the cookie, if a cookie counts here. The browser key is not checked."""
    if not seen.cookies:
        raise UnauthorizedError(
            "no session token: send it as the X-Session-Token header; it is in"
            f" .sightline/session.token of the gateway's folder. In a browser, {_LOG_IN_AGAIN}"
        )
    if changes and not values_of(
        headers, b"origin"
    ):  # `check_browser_rules` has refused foreign ones
        raise UnauthorizedError(
            "the login cookie counts here only with an Origin header, which browsers send:"
            " outside a browser, send the session token as the X-Session-Token header"
        )
    if not changes and is_foreign_site(headers):
        raise UnauthorizedError(
            "the login cookie does not count for a page of another origin: send the session token"
            " as the X-Session-Token header"
        )
    first, *others = map(keyring.browser_sessions.find, seen.cookies)
    if first is None or any(other is not first for other in others):
        raise UnauthorizedError(f"this browser is no longer logged in: {_LOG_IN_AGAIN}")
    return first


def _check_user_page(headers: ByName, keyring: Keyring, *, changes: bool) -> None:
    """Refuse what a page of another origin may have sent.

    The proxy names the user in every request of the browser, whatever page sends it, and no browser
    key is beside it. So the page must be the gateway's own; a page of an allowed origin sends a token.
    """
    if changes and not values_of(headers, b"origin"):
        raise UnauthorizedError(
            "a user that the proxy names counts here only with an Origin header, which browsers send:"
            " outside a browser, send a token as the X-Session-Token header"
        )
    if is_foreign_site(headers) or not is_own_page(headers, keyring.allowed_origins):
        raise UnauthorizedError(
            "a user that the proxy names does not count for a page of another origin: send a token as"
            " the X-Session-Token header"
        )
