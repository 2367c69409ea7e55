"""Whose ticket or log-in makes room for a new one. Pure."""

from collections import Counter
from collections.abc import Iterable

from .access import SESSION


def makes_room(makers: Iterable[str], maker: str, most: int) -> str | None:
    """Which maker loses its oldest one for a new one of `maker`; None while there is room.

    The session token has `most` places for itself, and all named tokens together have as many. Of
    these, the token with the most loses one, so none can take the place of another that has few.
    """
    counts = Counter(one for one in makers if (one == SESSION) == (maker == SESSION))
    if counts.total() < most:
        return None
    return max(counts, key=lambda one: (counts[one], one == maker))
