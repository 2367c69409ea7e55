"""Places: reserved, taken over, released exactly once."""

import asyncio

import pytest

from app.auth.credentials import Credential
from app.errors import UnauthorizedError, UnavailableError
from app.ws.registry import ConnectionRegistry, Place
from tests.kit.waiting import WATCHDOG_S


def test_places_are_taken_until_none_is_left() -> None:
    registry = ConnectionRegistry(2)
    registry.reserve("a")
    registry.reserve("b")
    with pytest.raises(UnavailableError, match="all 2 places are taken"):
        registry.reserve("c")
    assert registry.taken == 2


def test_a_released_place_is_free_again_and_twice_is_fine() -> None:
    registry = ConnectionRegistry(1)
    place = registry.reserve("a")
    registry.release(place)
    registry.release(place)
    assert (registry.taken, place.held) == (0, False)
    assert registry.reserve("b").held
    assert registry.taken == 1


def test_the_same_client_takes_over_its_place_even_when_all_are_taken() -> None:
    registry = ConnectionRegistry(1)
    first = registry.reserve("a")
    second = registry.reserve("a")
    assert (registry.taken, first.held, second.held) == (1, False, True)


def test_a_replaced_connection_is_notified_once_when_the_new_one_has_its_place() -> None:
    registry = ConnectionRegistry(1)
    closed: list[tuple[int, int]] = []
    first = registry.reserve("a")
    first.on_close = lambda code, reason: closed.append((code, registry.taken))
    registry.reserve("a")
    registry.reserve("a")
    assert closed == [(4409, 1)]


def test_all_get_the_message_and_are_closed_also_when_closing_frees_the_place() -> None:
    registry = ConnectionRegistry(3)
    closed: list[object] = []
    for name in "ab":
        place = registry.reserve(name)
        place.on_message = closed.append

        def close(code: int, reason: str, place: Place = place) -> None:
            closed.append(code)
            registry.release(place)

        place.on_close = close
    registry.reserve("not yet accepted")
    registry.send_all(b"hi")
    registry.close_all(1012, "its epoch changed")
    assert closed == [b"hi", b"hi", 1012, 1012]
    assert registry.taken == 1


def test_releasing_a_place_that_was_taken_over_leaves_the_new_one() -> None:
    registry = ConnectionRegistry(1)
    first = registry.reserve("a")
    second = registry.reserve("a")
    registry.release(first)
    assert (registry.taken, second.held) == (1, True)
    third = registry.reserve("a")
    assert (registry.taken, second.held, third.held) == (1, False, True)


def test_the_holder_of_a_place_is_notified_when_the_registry_closes_and_may_release_it_then() -> (
    None
):
    registry = ConnectionRegistry(3)
    closed: list[str] = []
    gone, first, second = (registry.reserve(name) for name in ("gone", "first", "second"))
    for place in (gone, first, second):
        place.on_drain = lambda place=place: (
            closed.append(place.client_id),
            registry.release(place),
        )
    registry.release(gone)
    registry.close()
    assert sorted(closed) == ["first", "second"]
    assert registry.taken == 0


def test_a_closed_registry_reserves_no_place_not_even_for_a_takeover() -> None:
    registry = ConnectionRegistry(2)
    place = registry.reserve("a")
    registry.close()
    with pytest.raises(UnavailableError, match="shutting down"):
        registry.reserve("a")
    assert place.held


async def test_the_end_waits_for_the_last_client_but_not_for_ever() -> None:
    registry = ConnectionRegistry(2)
    await registry.emptied(60)  # nobody is here
    first, second = registry.reserve("a"), registry.reserve("b")
    await registry.emptied(0)
    waiting = asyncio.create_task(registry.emptied(60))
    await asyncio.sleep(0)
    registry.release(first)
    await asyncio.sleep(0)
    assert not waiting.done()
    registry.release(second)
    await asyncio.wait_for(waiting, WATCHDOG_S)


def test_a_credential_that_ends_closes_what_it_opened_and_opens_nothing_more() -> None:
    registry = ConnectionRegistry(3)
    ending, lasting = Credential("cookie", "s-1"), Credential("cookie", "s-2")
    ended = [registry.reserve(name, ending) for name in "ab"]
    stays = registry.reserve("c", lasting)
    assert (registry.opened_by(ending), registry.opened_by(lasting)) == (2, 1)
    ending.ended = True
    registry.end(ending)
    assert [place.closed_with and place.closed_with[0] for place in ended] == [4401, 4401]
    assert stays.closed_with is None
    with pytest.raises(UnauthorizedError, match="log in again"):
        registry.reserve("a", ending)
