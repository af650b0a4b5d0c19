"""What a verdict counts for: right or wrong, with which weight, and when it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Kind, ServiceError
from services.escalation.policy import Action
from services.escalation.verdicts.rules import (
    ESCALATED,
    VOLUNTEERED,
    Said,
    Standing,
    check,
    is_correct,
    standing,
)
from services.escalation.verdicts.sampling import review_of

DRAFT = "The Team plan costs 79.50 euros (per month), isn't it simple?"


def turn(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "state": "decided",
        "action": "CONTINUE",
        "score": 0.9,
        "raw_score": 0.8,
        "audited": False,
        "sampling_probability": 0.02,
    }
    return {**row, **changes}


@pytest.mark.parametrize(
    ("edited", "correct"),
    [
        (DRAFT, True),
        (DRAFT.upper(), True),
        ("The **Team** plan costs 79.50 euros per month, isn’t it simple?", True),
        ("  The Team plan\ncosts 79.50 euros - per month: isn't it simple?  ", True),
        ("The Team plan costs 7950 euros (per month), isn't it simple?", False),
        ("The Team plan costs 79.50 dollars (per month), isn't it simple?", False),
        ("The Team plan costs -79.50 euros (per month), isn't it simple?", False),
        ("The Team plan costs 79.50 % (per month), isn't it simple?", False),
        ("The Team plan costs 79.50 euros (per month), isn't it simple.", False),
        ("The Team plan costs 79.50 euros (not per month), isn't it simple?", False),
        ("Hello! " + DRAFT, False),
    ],
)
def test_an_edit_is_right_only_where_it_says_the_same(edited: str, correct: bool) -> None:
    assert is_correct(Said.EDITED, edited, ["", "another text", DRAFT]) is correct


def test_a_range_is_no_minus() -> None:
    assert is_correct(Said.EDITED, "Takes 3–5 days", ["takes 3-5 days."])
    assert not is_correct(Said.EDITED, "At 5 degrees", ["At -5 degrees"])


@given(st.text(max_size=200))
def test_any_text_says_the_same_as_itself(text: str) -> None:
    assert not text or is_correct(Said.EDITED, text, [text])
    assert is_correct(Said.CORRECT, "", [])
    assert not is_correct(Said.WRONG, "", [text])


@given(st.text(max_size=100), st.text("abc123", min_size=1, max_size=10))
def test_a_word_more_is_never_the_same(text: str, word: str) -> None:
    assert not is_correct(Said.EDITED, f"{text} {word}", [text]) or not text


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.sampled_from(list(Action)), st.floats(0, 1))
def test_the_weight_is_the_inverse_of_the_probability_to_be_seen(
    turn_id: str, action: Action, rate: float
) -> None:
    sent = action not in (Action.IMMEDIATE_ESCALATION, Action.NONE)
    review = review_of(turn_id, action, sent=sent, scored=True, rate=rate)
    found = standing(
        turn(action=action, audited=review.audited, sampling_probability=review.sampling_probability)
    )

    assert found.weight >= 1.0
    if not sent:
        assert found == Standing(ESCALATED, False, 1.0)
    elif action is Action.SUGGEST_REVIEW:
        assert found.sampling_probability == found.weight == 1.0
    elif review.audited:
        assert found.audited
        assert found.weight == pytest.approx(min(1 / rate, 1_000_000))
    else:
        assert (found.origin, found.audited, found.weight) == (VOLUNTEERED, False, 1.0)


def test_weighted_verdicts_stand_for_all_that_was_answered() -> None:
    """Drawn with the rate and weighed by its inverse, audited turns count as many as were sent."""
    ids = [f"{number:032x}" for number in range(20_000)]
    total = 0.0
    for turn_id in ids:
        review = review_of(turn_id, Action.CONTINUE, sent=True, scored=True, rate=0.05)
        if review.audited:
            total += standing(turn(audited=True, sampling_probability=0.05)).weight
    assert total == pytest.approx(len(ids), rel=0.15)


@pytest.mark.parametrize(
    ("said", "text", "row", "kind", "reason"),
    [
        (Said.EDITED, " ", turn(), Kind.INVALID, None),
        (Said.WRONG, "better", turn(), Kind.INVALID, None),
        (Said.CORRECT, "", turn(state="drafting"), Kind.NOT_READY, "TURN_OPEN"),
        (Said.CORRECT, "", turn(state="waiting"), Kind.NOT_READY, "TURN_OPEN"),
        (Said.CORRECT, "", turn(raw_score=None), Kind.NOT_READY, "TURN_WITHOUT_SCORE"),
        (Said.CORRECT, "", turn(state="held", score=None, raw_score=None), Kind.NOT_READY, None),
    ],
)
def test_refusals(said: Said, text: str, row: dict[str, Any], kind: Kind, reason: str | None) -> None:
    with pytest.raises(ServiceError) as raised:
        check(said, text, row)
    assert raised.value.kind is kind
    assert reason is None or raised.value.reason == reason


def test_what_is_fine_passes() -> None:
    check(Said.EDITED, "better", turn())
    check(Said.CORRECT, "", turn())
