"""The decision table: every golden case, and its laws."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.escalation.policy import (
    HIGH_STAKES_THRESHOLDS,
    MODE_THRESHOLDS,
    Action,
    Decision,
    Mode,
    Policy,
    Reason,
    Thresholds,
    TurnFacts,
    WithoutScore,
    decide,
    level_of,
)
from services.escalation.policy_reading import from_record, to_record
from tests.contract.policy_cases import Case, cases

CASES = cases()


def policy_of(values: dict[str, Any]) -> Policy:
    return Policy(
        mode=Mode(values.get("mode", "STANDARD")),
        enabled=values.get("enabled", True),
        immediate=values.get("immediate_threshold"),
        review=values.get("review_threshold"),
        add_disclaimers=values.get("add_disclaimers", True),
        without_score=WithoutScore(values.get("without_score", "BY_RISK").lower()),
        version=7,
    )


def seen(decision: Decision) -> dict[str, Any]:
    return {
        "action": str(decision.action),
        "reason": str(decision.reason),
        "escalated": decision.escalated,
        "enabled": decision.enabled,
        "score": False if decision.score is None else decision.score,
        "level": str(decision.level or ""),
        "immediate": decision.thresholds.immediate,
        "review": decision.thresholds.review,
        "high_stakes": decision.high_stakes,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_case(case: Case) -> None:
    found = seen(decide(TurnFacts(**case.facts), policy_of(case.policy)))
    assert {name: found[name] for name in case.expect} == case.expect, case.title


def test_the_cases_cover_every_action_and_reason() -> None:
    decisions = [decide(TurnFacts(**case.facts), policy_of(case.policy)) for case in CASES]
    assert {decision.action for decision in decisions} == set(Action)
    # A turn is given up by its caller, never by the table.
    assert {decision.reason for decision in decisions} == set(Reason) - {Reason.PROCESSING_FAILED}


unit = st.floats(0, 1)
thresholds = st.one_of(st.none(), unit)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    return Policy(
        mode=draw(st.sampled_from(Mode)),
        enabled=draw(st.booleans()),
        immediate=draw(thresholds),
        review=draw(thresholds),
        add_disclaimers=draw(st.booleans()),
        without_score=draw(st.sampled_from(WithoutScore)),
        version=draw(st.integers(0, 2**62)),
    )


facts = st.builds(
    TurnFacts,
    score=st.one_of(st.none(), unit),
    high_stakes=st.booleans(),
    urgent=st.booleans(),
    customer_request=st.booleans(),
    keyword=st.booleans(),
    frustrated=st.booleans(),
    no_reply=st.booleans(),
    unsupported_message=st.booleans(),
    held_by_person=st.booleans(),
)


def with_(values: TurnFacts, **changes: Any) -> TurnFacts:
    return TurnFacts(**{name: getattr(values, name) for name in TurnFacts.__slots__} | changes)


@given(facts, policies())
def test_every_input_has_a_decision_that_explains_itself(values: TurnFacts, policy: Policy) -> None:
    decision = decide(values, policy)
    assert 0 <= decision.thresholds.immediate <= decision.thresholds.review <= 1
    assert (decision.score is None) == (decision.level is None)
    assert (decision.reason is Reason.NONE) == (decision.action in (Action.NONE, Action.CONTINUE))
    assert decision.policy_version == policy.version


@given(facts, policies(), unit, unit)
def test_raising_the_score_never_makes_it_more_severe(
    values: TurnFacts, policy: Policy, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    worse, better = decide(with_(values, score=low), policy), decide(with_(values, score=high), policy)
    assert worse.action.severity >= better.action.severity


@given(facts, policies(), thresholds, unit)
def test_raising_a_threshold_never_makes_it_less_severe(
    values: TurnFacts, policy: Policy, review: float | None, immediate: float
) -> None:
    before = decide(values, policy)
    pair = policy.thresholds(high_stakes=False)
    for raised in (
        Policy(**{**_fields(policy), "immediate": max(immediate, pair.immediate)}),
        Policy(**{**_fields(policy), "review": max(review or 0, pair.review)}),
    ):
        assert decide(values, raised).action.severity >= before.action.severity


@given(facts, policies())
def test_high_stakes_are_never_less_severe(values: TurnFacts, policy: Policy) -> None:
    ordinary = decide(with_(values, high_stakes=False), policy)
    risky = decide(with_(values, high_stakes=True), policy)
    assert risky.action.severity >= ordinary.action.severity


@given(policies())
def test_the_high_stakes_pair_is_never_below_an_override(policy: Policy) -> None:
    pair = policy.thresholds(high_stakes=True)
    assert pair.immediate >= (policy.immediate or 0)
    assert pair.review >= (policy.review or 0)
    assert pair.immediate >= HIGH_STAKES_THRESHOLDS[policy.mode].immediate


@given(facts, policies())
def test_a_decision_can_be_made_again_from_what_is_stored(values: TurnFacts, policy: Policy) -> None:
    assert decide(values, from_record(to_record(policy))) == decide(values, policy)


def test_an_override_out_of_order_is_seen_with_the_default_of_the_other() -> None:
    assert Policy(immediate=0.7).out_of_order() == Thresholds(0.7, 0.6)
    assert Policy(mode=Mode.STRICT, review=0.4).out_of_order() == Thresholds(0.5, 0.4)
    assert Policy(immediate=0.6).out_of_order() is None


@pytest.mark.parametrize("mode", list(Mode))
def test_stricter_modes_ask_for_more(mode: Mode) -> None:
    assert MODE_THRESHOLDS[mode].immediate <= HIGH_STAKES_THRESHOLDS[mode].immediate
    assert MODE_THRESHOLDS[mode].review <= HIGH_STAKES_THRESHOLDS[mode].review


@pytest.mark.parametrize(
    ("score", "level"),
    [(0, "VERY_LOW"), (0.199999, "VERY_LOW"), (0.2, "LOW"), (0.6, "MEDIUM"), (0.8, "HIGH"), (1, "HIGH")],
)
def test_levels(score: float, level: str) -> None:
    assert level_of(score) == level


def _fields(policy: Policy) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in Policy.__slots__}
