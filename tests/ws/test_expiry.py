"""A connection ends with its credential, by the wall clock where that says when."""

import pytest

from app.auth.access import NOTHING
from app.auth.credentials import Credential
from app.errors import CloseCode
from app.ws.expiry import Expiry
from app.ws.registry import Place
from tests.support import FakeClock


@pytest.mark.parametrize("jump_s", [0.0, 7200.0])
def test_a_credential_ends_at_its_time_also_if_the_wall_clock_jumps(jump_s: float) -> None:
    clock, jumped = FakeClock(), 0.0
    ends_at = clock.wall() + 3600
    place = Place("a", Credential("jwt", "", NOTHING, lambda: ends_at - clock.wall() - jumped))
    Expiry(place, clock)
    clock.advance(60)
    assert place.closed_with is None
    jumped = jump_s
    clock.advance(60 if jump_s else 3480)
    assert place.closed_with is not None if jump_s else place.closed_with is None
    clock.advance(60)
    assert place.closed_with is not None
    assert place.closed_with[0] == CloseCode.UNAUTHORIZED
