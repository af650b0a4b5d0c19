"""A recorded decision made again, and the words for what has changed since."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.escalation.insights.replay import Basis, differences, recorded_basis, unlike
from services.escalation.policy import Action, Decision, Mode, Policy, TurnFacts, decide, failed
from services.escalation.policy_reading import to_record
from services.escalation.store.turn_endings import facts_record
from services.escalation.turns.outcome import decision_columns, decision_from

FACTS = st.builds(
    TurnFacts,
    score=st.none() | st.floats(0.0, 1.0),
    high_stakes=st.booleans(),
    urgent=st.booleans(),
    keyword=st.booleans(),
    customer_request=st.booleans(),
    no_reply=st.booleans(),
    unsupported_message=st.booleans(),
)
THRESHOLDS = st.none() | st.floats(0.0, 1.0)
POLICIES = st.builds(
    Policy,
    mode=st.sampled_from(Mode),
    enabled=st.booleans(),
    immediate=THRESHOLDS,
    review=THRESHOLDS,
    add_disclaimers=st.booleans(),
    version=st.integers(0, 50),
)


def row(decision: Decision, policy: Policy | None, facts: TurnFacts | None) -> dict[str, Any]:
    """What a turn keeps of its decision."""
    kept = None
    if facts is not None:
        kept = facts_record(facts)
    return {
        **decision_columns(decision),
        "facts": kept,
        "policy": None if policy is None else to_record(policy),
        "urgent": facts is not None and facts.urgent,
        "scorer_version": "1.0",
        "calibration_version": "global",
    }


@given(FACTS, POLICIES)
def test_what_was_stored_gives_the_same_decision(facts: TurnFacts, policy: Policy) -> None:
    stored = row(decide(facts, policy), policy, facts)
    basis = recorded_basis(stored)
    assert basis is not None
    assert basis.decision() == decision_from(stored)


@given(POLICIES, st.booleans())
def test_a_turn_that_was_given_up_gives_the_same_decision(policy: Policy, kept: bool) -> None:
    decision = failed(policy)
    basis = recorded_basis(row(decision, policy if kept else None, None))
    assert basis is not None
    assert basis.decision() == decision


def test_where_nothing_was_decided_there_is_nothing_to_replay() -> None:
    assert recorded_basis({"action": ""}) is None


@given(FACTS, POLICIES)
def test_nothing_differs_from_itself(facts: TurnFacts, policy: Policy) -> None:
    basis = Basis(facts, policy, scorer="1.0", calibration="global")
    assert differences(basis, basis) == []
    assert unlike(basis.decision(), basis.decision()) == []


THEN = Basis(TurnFacts(score=0.7), Policy(version=3), scorer="1.0", calibration="global")


def test_a_changed_policy_is_named_with_both_versions() -> None:
    today = replace(THEN, policy=Policy(mode=Mode.STRICT, review=0.8, version=5))
    assert differences(THEN, today) == [
        "policy 3 → 5: mode STANDARD → STRICT, review threshold of the mode → 0.8",
        "action SEND_WITH_DISCLAIMER → SUGGEST_REVIEW (low_confidence)",
    ]


def test_a_changed_scorer_is_named_with_both_scores() -> None:
    today = replace(THEN, facts=TurnFacts(score=0.64), scorer="1.1", calibration="t-2")
    assert differences(THEN, today) == ["scorer 1.0 → 1.1, calibration global → t-2: score 0.7 → 0.64"]


def test_of_two_changes_each_is_weighed_alone() -> None:
    today = Basis(TurnFacts(score=0.2, high_stakes=True), Policy(immediate=0.1, review=0.2, version=4))
    found = differences(THEN, today)
    assert found[-1] == (
        "by the settings alone it would be SEND_WITH_DISCLAIMER,"
        " by the score and topics alone IMMEDIATE_ESCALATION"
    )
    assert "a high-stakes topic: seen now" in found


def test_another_decision_table_is_named() -> None:
    recorded = THEN.decision()
    other = replace(recorded, action=Action.CONTINUE, reason=decide(TurnFacts(score=0.9), Policy()).reason)
    assert unlike(recorded, other) == [
        "the decision table of this release: action SEND_WITH_DISCLAIMER → CONTINUE",
        "the decision table of this release: reason medium_confidence → none",
    ]
