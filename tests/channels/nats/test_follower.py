"""How a follower reads two numbers: next, already seen, lost, or no longer in the stream."""

from hypothesis import given, strategies as st

from app.channels.nats.follower import Order


def test_a_missing_delivery_is_lost_and_a_missing_number_is_a_hole() -> None:
    order = Order()
    assert order.judge(1, 8, head=9) == "old"
    assert order.judge(2, 10, head=9) == "next"
    assert order.judge(3, 13, head=10) == "hole"
    assert order.judge(5, 14, head=13) == "lost"
    assert order.judge(4, 14, head=13) == "next"


@given(
    st.sets(st.integers(1, 60), min_size=1),
    st.integers(0, 60),
    st.sets(st.integers(1, 60)),
)
def test_every_message_of_the_stream_is_taken_once_and_every_hole_said(
    kept: set[int], head: int, lost_once: set[int]
) -> None:
    """Consumers that lose some messages on the way, each once; holes are what is not in the stream."""
    taken: list[int] = []
    holes: list[tuple[int, int]] = []
    start, lost, doubt = head, set(lost_once), True
    while doubt:
        doubt, order = False, Order()
        delivered = 0
        for number in sorted(number for number in kept if number > head):
            delivered += 1
            if number in lost:
                lost.remove(number)
                continue
            verdict = order.judge(delivered, number, head)
            if verdict == "lost":
                doubt = True
                break
            if verdict == "hole":
                holes.append((head + 1, number - 1))
            taken.append(number)
            head = number
        doubt = doubt or delivered != order.delivered  # what the heartbeat says
    assert taken == sorted(number for number in kept if number > start)
    missing = {number for first, last in holes for number in range(first, last + 1)}
    assert missing == set(range(start + 1, head + 1)) - kept
