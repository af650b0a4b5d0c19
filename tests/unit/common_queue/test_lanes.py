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


def test_no_more_of_a_lane_are_taken_at_once_than_may_be() -> None:
    lanes: Lanes[int] = Lanes(most=2)
    for number in range(3):
        lanes.offer("q", "", number)
    lanes.offer("r", "", 10)
    assert [lanes.take() for _ in range(4)] == [0, 10, 1, None]
    assert lanes.settled("q", "") is True
    assert lanes.take() == 2


def test_a_full_lane_hands_out_of_the_longest_line_what_can_overtake_nobody() -> None:
    lanes: Lanes[int] = Lanes(most=3, window=6)
    for number, key in enumerate(["a", "b", "a", "b", "a"]):
        lanes.offer("q", key, number)
    assert [lanes.take(), lanes.take(), lanes.take()] == [0, 1, None]
    assert lanes.recorded("q", "a") is False
    lanes.offer("q", "a", 5)
    assert lanes.take() == 2
    # Nobody has recorded that one, nor what is taken of the other key.
    assert lanes.take() is None
    assert lanes.settled("q", "a") is False
    assert lanes.take() is None
    for number in range(6, 7):
        lanes.offer("q", "a", number)
    assert [lanes.take(), lanes.take()] == [4, None]
    # Its next comes when all that is taken of it is settled.
    assert lanes.settled("q", "a", recorded=True) is False
    assert lanes.settled("q", "a") is True
    assert lanes.take() == 5


def test_a_full_lane_that_is_paused_hands_nothing_out() -> None:
    lanes: Lanes[int] = Lanes(window=2)
    for number in range(3):
        lanes.offer("q", "a", number)
    assert lanes.take() == 0
    lanes.pause("q")
    assert lanes.recorded("q", "a") is False
    assert lanes.take() is None
    lanes.resume("q")
    assert lanes.take() == 1


def test_settling_what_nobody_knows_is_nothing() -> None:
    assert Lanes[int]().settled("q", "a") is False


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sampled_from("qrs"), st.sampled_from(["", "a", "b", "c"])),
        st.tuples(st.just("take"), st.just(""), st.just("")),
        st.tuples(st.just("record"), st.just(""), st.just("")),
        st.tuples(st.just("settle"), st.just(""), st.just("")),
        st.tuples(st.just("clear"), st.sampled_from(["q", "r", ""]), st.just("")),
        st.tuples(st.sampled_from(["pause", "resume"]), st.sampled_from("qr"), st.just("")),
    ),
    max_size=80,
)


@given(STEPS, st.integers(1, 3), st.integers(1, 8))
def test_nothing_is_lost_doubled_or_out_of_order(
    steps: list[tuple[str, str, str]], most: int, window: int
) -> None:
    lanes: Lanes[Item] = Lanes(most=most, window=window)
    offered, out, dropped = [], [], []
    in_hand: dict[Item, bool] = {}

    def take() -> bool:
        item = lanes.take()
        if item is None:
            return False
        same = [held for held in in_hand if held[:2] == item[:2]]
        assert not item[1] or all(in_hand[held] for held in same), "one that nobody has recorded was passed"
        in_hand[item] = False
        assert sum(held[0] == item[0] for held in in_hand) <= most
        out.append(item)
        return True

    def settle() -> None:
        item = next(iter(in_hand))
        lanes.settled(*item[:2], recorded=in_hand.pop(item))

    for number, (step, lane, key) in enumerate(steps):
        if step == "offer":
            offered.append((lane, key, number))
            lanes.offer(lane, key, (lane, key, number))
        elif step == "take":
            take()
        elif step == "record" and not all(in_hand.values()):
            item = next(held for held, recorded in in_hand.items() if not recorded)
            in_hand[item] = True
            lanes.recorded(*item[:2])
        elif step == "settle" and in_hand:
            settle()
        elif step == "clear":
            dropped += lanes.clear(lane or None)
        elif step == "pause":
            lanes.pause(lane)
        elif step == "resume":
            lanes.resume(lane)
    for lane in "qr":
        lanes.resume(lane)
    while in_hand or take():
        if in_hand:
            settle()
    assert Counter(out + dropped) == Counter(offered)
    by_conversation: dict[tuple[str, str], list[int]] = defaultdict(list)
    for lane, key, number in out:
        by_conversation[lane, key].append(number)
    assert all(numbers == sorted(numbers) for (_, key), numbers in by_conversation.items() if key)
    assert lanes._lanes == {}
