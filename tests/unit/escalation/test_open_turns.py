"""What is remembered of turns that wait for their drafts."""

from __future__ import annotations

from services.escalation.open_turns import OpenTurns
from services.escalation.store.turn_completions import Open


def open_turn(turn_id: str, text: str = "Hello", *said: str) -> Open:
    history = [{"text": each} for each in said]
    return Open(turn_id, "conversation", "webchat", text, False, "", history, "message")


def test_a_turn_is_known_once_under_its_own_fence_to_its_own_tenant() -> None:
    known = OpenTurns()
    known.put("shop", 2, open_turn("a"))
    assert known.take("other", "a", 2) is None
    assert known.take("shop", "a", 1) is None
    assert known.take("shop", "b", 2) is None
    assert known.take("shop", "a", 2) == open_turn("a")
    assert known.take("shop", "a", 2) is None


def test_the_oldest_are_forgotten_first() -> None:
    known = OpenTurns(limit=2)
    for name in ("a", "b", "c"):
        known.put("shop", 1, open_turn(name))
    assert [known.take("shop", name, 1) is not None for name in ("a", "b", "c")] == [False, True, True]


def test_a_long_context_is_not_remembered() -> None:
    known = OpenTurns()
    known.put("shop", 1, open_turn("a", "Hello", "x" * 9_000, "y" * 9_000))
    assert known.take("shop", "a", 1) is None
