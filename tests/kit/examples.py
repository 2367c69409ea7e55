"""How many examples a property test tries."""

from hypothesis import settings

FEWER = 4


def up_to(most: int) -> int:
    """`most` by `make test-slow`, and a quarter of them by `make test`."""
    return most if settings.get_current_profile_name() == "explore" else most // FEWER
