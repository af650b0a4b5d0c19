"""What another policy would have done: counts, changes, estimates and notes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.escalation.insights.simulation import ScoredTurn, facts_of, simulate
from services.escalation.policy import Action, Mode, Policy, TurnFacts, decide

TODAY = Policy(version=4)
TURNS = st.lists(
    st.builds(
        ScoredTurn,
        turn_id=st.uuids().map(str),
        facts=st.builds(
            TurnFacts,
            score=st.none() | st.floats(0.0, 1.0),
            high_stakes=st.booleans(),
            urgent=st.booleans(),
            customer_request=st.booleans(),
        ),
        correct=st.none() | st.booleans(),
        given_up=st.booleans(),
        audited=st.booleans(),
    ),
    max_size=40,
)
POLICIES = st.builds(Policy, mode=st.sampled_from(Mode), enabled=st.booleans(), add_disclaimers=st.booleans())


def turn(score: float, correct: bool | None = None, **fields: object) -> ScoredTurn:
    facts = TurnFacts(score=score)
    known = ScoredTurn(str(score), facts, before=decide(facts, TODAY).action, correct=correct)
    return replace(known, **fields)  # type: ignore[arg-type]


@given(TURNS, POLICIES, POLICIES)
def test_every_turn_is_counted_once_before_and_after(
    turns: list[ScoredTurn], policy: Policy, today: Policy
) -> None:
    found = simulate(turns, policy, today)
    assert found.turns == len(turns) == sum(found.before.values()) == sum(found.after.values())
    assert len(found.changed) <= len(turns)
    assert all(change.before is not change.after for change in found.changed)
    severities = [change.severity for change in found.changed]
    assert severities == sorted(severities, reverse=True)


@given(TURNS, POLICIES)
def test_the_same_policy_changes_nothing(turns: list[ScoredTurn], policy: Policy) -> None:
    found = simulate(turns, policy, policy)
    assert not found.changed
    assert found.before == found.after
    assert found.error_before == found.error_after


@given(TURNS, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_lower_threshold_never_escalates_more(turns: list[ScoredTurn], one: float, other: float) -> None:
    low, high = sorted((one, other))
    lax = simulate(turns, Policy(immediate=low, review=high), TODAY)
    strict = simulate(turns, Policy(immediate=high, review=high), TODAY)
    assert lax.after.get(Action.IMMEDIATE_ESCALATION, 0) <= strict.after.get(Action.IMMEDIATE_ESCALATION, 0)


def test_the_error_is_that_of_the_replies_that_are_sent() -> None:
    turns = [turn(0.9, True, audited=True), turn(0.4, False, audited=True), turn(0.1, False)]
    found = simulate(turns, Policy(immediate=0.5, review=0.6), TODAY)
    assert found.error_before is not None
    assert (found.error_before.error, found.error_before.verdicts) == (0.5, 2)
    assert found.error_after is not None
    assert (found.error_after.error, found.error_after.verdicts) == (0.0, 1)
    assert [change.turn.turn_id for change in found.changed] == ["0.4"]
    assert found.changed[0].after is Action.IMMEDIATE_ESCALATION


def test_the_weight_of_a_verdict_counts() -> None:
    turns = [turn(0.9, True, weight=9.0, audited=True), turn(0.95, False, audited=True)]
    found = simulate(turns, TODAY, TODAY)
    assert found.error_after is not None
    assert found.error_after.error == pytest.approx(0.1)


def test_a_turn_that_was_given_up_stays_with_people() -> None:
    lost = ScoredTurn("a", TurnFacts(), before=Action.IMMEDIATE_ESCALATION, given_up=True)
    found = simulate([lost], Policy(enabled=False), TODAY)
    assert not found.changed


def test_what_was_done_is_taken_from_today_where_it_is_not_known() -> None:
    unknown = ScoredTurn("a", TurnFacts(score=0.1))
    found = simulate([unknown], Policy(immediate=0.05, review=0.05), TODAY)
    assert found.before == {Action.IMMEDIATE_ESCALATION: 1}
    assert found.after == {Action.SEND_WITH_DISCLAIMER: 1}
    assert any("version 4" in note for note in found.notes)


def test_notes_say_what_to_keep_in_mind() -> None:
    few = simulate([turn(0.9, True)] * 12, TODAY, TODAY)
    assert any(note.startswith("12 verdicts: too few") for note in few.notes)
    assert any("12 of 12 verdicts were not drawn at random" in note for note in few.notes)
    none = simulate([turn(0.9)], Policy(enabled=False), TODAY)
    assert none.error_after is None
    assert any("switched off" in note for note in none.notes)
    assert any("Nobody has judged" in note for note in none.notes)
    unscored = ScoredTurn("a", TurnFacts(), before=Action.CONTINUE)
    assert any("1 turn had no score" in note for note in simulate([unscored], TODAY, TODAY).notes)


@given(
    st.builds(
        TurnFacts,
        score=st.none(),
        keyword=st.booleans(),
        customer_request=st.booleans(),
        unsupported_message=st.booleans(),
        no_reply=st.booleans(),
    )
)
def test_a_reason_tells_the_facts_of_a_turn_decided_before_its_draft(facts: TurnFacts) -> None:
    decision = decide(facts, TODAY)
    known = facts_of(decision.reason, None, urgent=False, high_stakes=False, score=None)
    assert decide(known, TODAY) == decision


def test_stored_facts_are_what_they_were() -> None:
    facts = facts_of("", {"score": 0.4, "urgent": True}, urgent=False, high_stakes=True, score=0.9)
    assert facts == TurnFacts(score=0.4, urgent=True)
