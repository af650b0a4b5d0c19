"""The order law of one consumer."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from services.common.queue.lanes import Lanes

Item = tuple[str, str, int]


def test_lanes_are_taken_in_turn() -> None:
    lanes: Lanes[str] = Lanes()
    for number in range(3):
        lanes.offer("busy", "", f"busy{number}")
    lanes.offer("quiet", "", "quiet0")
    assert [lanes.take() for _ in range(5)] == ["busy0", "quiet0", "busy1", "busy2", None]


def test_a_key_is_taken_once_and_its_next_comes_when_it_is_settled() -> None:
    lanes: Lanes[int] = Lanes()
    for number, key in enumerate(["a", "a", "b"]):
        lanes.offer("q", key, number)
    assert [lanes.take(), lanes.take(), lanes.take()] == [0, 2, None]
    assert lanes.settled("q", "a") is True
    assert lanes.take() == 1
    assert lanes.settled("q", "a") is False


def test_the_same_key_in_another_lane_is_another_conversation() -> None:
    lanes: Lanes[int] = Lanes()
    lanes.offer("q", "a", 1)
    lanes.offer("r", "a", 2)
    assert [lanes.take(), lanes.take()] == [1, 2]


def test_clearing_keeps_what_is_taken_and_frees_what_is_not() -> None:
    lanes: Lanes[int] = Lanes()
    for number, key in enumerate(["a", "a", "b", "b", ""]):
        lanes.offer("q", key, number)
    assert lanes.take() == 0
    assert sorted(lanes.clear()) == [1, 2, 3, 4]
    lanes.offer("q", "a", 10)
    lanes.offer("q", "b", 11)
    assert [lanes.take(), lanes.take()] == [11, None]
    assert lanes.settled("q", "a") is True
    assert lanes.take() == 10


def test_clearing_one_lane_leaves_the_others() -> None:
    lanes: Lanes[int] = Lanes()
    lanes.offer("q", "", 1)
    lanes.offer("r", "", 2)
    assert lanes.clear("q") == [1]
    assert lanes.clear("unknown") == []
    assert [lanes.take(), lanes.take()] == [2, None]


def test_settling_what_nobody_knows_is_nothing() -> None:
    assert Lanes[int]().settled("q", "a") is False


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sampled_from("qrs"), st.sampled_from(["", "a", "b", "c"])),
        st.tuples(st.just("take"), st.just(""), st.just("")),
        st.tuples(st.just("settle"), st.just(""), st.just("")),
        st.tuples(st.just("clear"), st.sampled_from(["q", "r", ""]), st.just("")),
    ),
    max_size=80,
)


@given(STEPS)
def test_nothing_is_lost_doubled_or_out_of_order(steps: list[tuple[str, str, str]]) -> None:
    lanes: Lanes[Item] = Lanes()
    offered, out, dropped, in_hand = [], [], [], []
    for number, (step, lane, key) in enumerate(steps):
        if step == "offer":
            offered.append((lane, key, number))
            lanes.offer(lane, key, (lane, key, number))
        elif step == "take" and (item := lanes.take()) is not None:
            assert not item[1] or all(held[:2] != item[:2] for held in in_hand)
            in_hand.append(item)
            out.append(item)
        elif step == "settle" and in_hand:
            settled = in_hand.pop(0)
            lanes.settled(*settled[:2])
        elif step == "clear":
            dropped += lanes.clear(lane or None)
    while in_hand or (item := lanes.take()) is not None:
        if in_hand:
            lanes.settled(*in_hand.pop(0)[:2])
        else:
            assert item is not None
            in_hand.append(item)
            out.append(item)
    assert Counter(out + dropped) == Counter(offered)
    by_conversation: dict[tuple[str, str], list[int]] = defaultdict(list)
    for lane, key, number in out:
        by_conversation[lane, key].append(number)
    assert all(numbers == sorted(numbers) for numbers in by_conversation.values())
    assert lanes._lanes == {}
