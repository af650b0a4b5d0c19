"""Scores and thresholds on the scale of today's calibration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metachat.confidence.v1.confidence_pb2 import Calibration

from services.confidence.calibration import Verdict, fitted
from services.confidence.messages import calibration_message
from services.confidence.scorer import TEXT_CEILING
from services.escalation.verdicts.scores_today import Given, floor_today, score_today

UNIT = st.floats(0, 1)
VERDICTS = st.lists(st.builds(Verdict, UNIT, st.booleans()), min_size=5, max_size=260)


def made(verdicts: list[Verdict], version: str = "tenant-1") -> Calibration:
    calibration = calibration_message(fitted(verdicts, scorer_version="s"))
    calibration.version = version
    return calibration


def own(intercept: float, *, version: str = "tenant-1", verdicts: int = 60) -> Calibration:
    return Calibration(
        version=version, method=Calibration.INTERCEPT, slope=1.0, intercept=intercept, verdicts=verdicts
    )


def test_what_the_calibration_in_force_gave_stays() -> None:
    assert score_today(Given(0.4, 0.55, "text", "tenant-1"), own(9.0)) == 0.55
    assert score_today(Given(0.4, 0.4, "text", "global"), None) == 0.4


def test_courtesies_are_the_same_everywhere() -> None:
    assert score_today(Given(0.9, 0.9, "courtesy", "global"), own(-3.0)) == 0.9


def test_the_global_map_is_known_to_the_scorer_alone() -> None:
    assert score_today(Given(0.4, 0.6, "text", "tenant-1"), None) is None
    assert floor_today(0.3, own(1.0), None) is None


def test_text_alone_stays_below_high_until_there_are_fifty_verdicts() -> None:
    few = score_today(Given(0.7, 0.7, "text", "global"), own(5.0, verdicts=49))
    assert few == TEXT_CEILING
    enough = score_today(Given(0.7, 0.7, "text", "global"), own(5.0, verdicts=50))
    assert enough is not None and enough > 0.99
    passages = score_today(Given(0.7, 0.7, "passages", "global"), own(5.0, verdicts=49))
    assert passages == enough


@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_the_ends_stay(floor: float) -> None:
    assert floor_today(floor, None, own(2.0)) == floor


@given(VERDICTS, VERDICTS, UNIT, UNIT)
def test_what_was_withheld_lies_below_the_threshold_of_today(
    before: list[Verdict], after: list[Verdict], raw: float, floor: float
) -> None:
    then, now = made(before, "then"), made(after, "now")
    as_given = score_today(Given(raw, 0.0, "passages", "global"), then)
    today = score_today(Given(raw, 0.0, "passages", "then"), now)
    limit = floor_today(floor, then, now)
    assert as_given is not None and today is not None and limit is not None
    if as_given < floor - 1e-6:
        assert today <= limit + 1e-6


@given(VERDICTS, UNIT, UNIT)
def test_a_calibration_keeps_the_order(verdicts: list[Verdict], one: float, other: float) -> None:
    calibration = made(verdicts)
    low, high = (
        score_today(Given(raw, 0.0, "passages", "global"), calibration) for raw in sorted((one, other))
    )
    assert low is not None and high is not None and low <= high + 1e-9
