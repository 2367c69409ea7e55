"""`Access`: what one credential may read, publish and manage. Pure: every decision is made here."""

from collections.abc import Iterable
from typing import Literal, get_args

from ..channels.filters import Bound, EventFilter
from ..errors import ForbiddenError

Scope = Literal["read", "publish", "admin"]
# What a route declares as `scope` in its `opt`. Without it, the route is for admins alone.
Need = Literal["read", "publish", "admin", "any"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
AUDIT = "system.audit"  # the event type that only admins read, and only the gateway publishes
EVERYTHING = ("*",)
SESSION = "session"  # the name of the session token, and of what it opened
HOOKS = "hooks"  # the name of the hook token
RESERVED = (SESSION, HOOKS)
# Begin the names of users whom others vouch for. No named token can have a colon in its name, so
# nobody takes the name of another.
USER = "user:"  # a trusted proxy does
JWT = "jwt:"  # the issuer of a JWT does
_MOST_SHOWN = 5


class Access:
    """The name, scopes and patterns of a credential. Immutable; `admin` includes all scopes.

    An admin reads and publishes every type. Others are held to `read` and `publish`, and never read
    or publish `system.audit`.
    """

    __slots__ = ("_bound", "_publishable", "name", "publish", "read", "scopes")

    def __init__(
        self,
        name: str,
        scopes: Iterable[Scope],
        read: Iterable[str] = EVERYTHING,
        publish: Iterable[str] = EVERYTHING,
    ) -> None:
        """`read` and `publish` are patterns; they count only with the scope.

        Raises:
            InvalidPatternError: a pattern is malformed, or over 256.
        """
        self.name = name
        self.scopes = frozenset(scopes)
        readable = EventFilter(read if self.allows("read") else ())
        publishable = EventFilter(publish if self.allows("publish") else ())
        if self.is_admin:
            readable = publishable = EventFilter(EVERYTHING)
        self.read = readable.patterns
        self.publish = publishable.patterns
        self._bound = None if self.is_admin else Bound(self.read, frozenset((AUDIT,)))
        self._publishable = publishable

    @property
    def is_named(self) -> bool:
        """Whether this is the access of a named token or a user, and not the gateway's own."""
        return self.name not in RESERVED

    @property
    def is_admin(self) -> bool:
        """Whether this is as good as the session token."""
        return "admin" in self.scopes

    def allows(self, need: Need) -> bool:
        """Whether a route that needs this scope may be used."""
        return need == "any" or self.is_admin or need in self.scopes

    def may_read(self, type_: str) -> bool:
        """Whether an event of this type may reach the holder."""
        return EventFilter(EVERYTHING, self._bound).matches(type_)

    def may_publish(self, type_: str) -> bool:
        """Whether the holder may publish an event of this type."""
        return type_ != AUDIT and self._publishable.matches(type_)

    def held(self, event_filter: EventFilter) -> EventFilter:
        """The filter, held to what may be read; so is every filter that is made from it.

        Raises:
            InvalidPatternError: what they have in common takes over 256 patterns.
        """
        return event_filter.within(self._bound)

    def require(self, need: Need) -> None:
        """Raise `ForbiddenError` unless a route that needs this scope may be used."""
        if not self.allows(need):
            has = ", ".join(sorted(self.scopes)) or "nothing"
            raise ForbiddenError(
                f"{self._shown} has the scope {has}, and this needs {need}: {self._remedy(need)}"
            )

    def require_publish(self, type_: str) -> None:
        """Raise `ForbiddenError`, which names the patterns, unless the type may be published."""
        if self.may_publish(type_):
            return
        if type_ == AUDIT:
            raise ForbiddenError(f"{AUDIT} is published by the gateway alone: choose another type")
        shown = ", ".join(self.publish[:_MOST_SHOWN]) or "nothing"
        more = len(self.publish) - _MOST_SHOWN
        raise ForbiddenError(
            f"event type {type_[:80]!r} is outside of what {self._shown} may publish:"
            f" {shown}{f' and {more} more' if more > 0 else ''}; publish such a type, or make a token"
            f" that may"
        )

    @property
    def _shown(self) -> str:
        kind = "user" if self.name.startswith((USER, JWT)) else "token"
        return f"the {kind} {self.name!r}"

    def _remedy(self, need: Need) -> str:
        if self.name.startswith(USER):
            return f"add {self.name.removeprefix(USER)}={need} to SIGHTLINE_TRUSTED_USERS"
        if self.name.startswith(JWT):
            return f"ask the issuer of the token for the scope sightline:{need}"
        return f"make a token with `sightline token create --scope {need}`"


def scope_of(text: str) -> Scope:
    """The scope of this name; raises `ValueError`."""
    if text not in SCOPES:
        raise ValueError(text)
    return text


FULL = Access(SESSION, ("admin",))
NOTHING = Access("nobody", ())
