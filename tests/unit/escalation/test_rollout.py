"""Stages of a rollout: which conversation is on which side, and what a policy out of force still does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metachat.escalation.v1.settings_pb2 import ChannelRollout, Rollout, TenantSettings

from services.escalation.policy import Action, Mode, Policy, Reason, TurnFacts, decide
from services.escalation.policy_reading import from_record, to_record
from services.escalation.turns.rollout import Stage, place_of, stage_of

unit = st.floats(0, 1)
percents = st.floats(0, 100)
ids = st.text(max_size=40)


def settings(stage: int = 0, percent: float = 0.0, *channels: ChannelRollout) -> TenantSettings:
    made = TenantSettings()
    made.confidence_escalation.rollout.CopyFrom(
        Rollout(stage=stage, canary_percent=percent, channels=channels)  # type: ignore[arg-type]
    )
    return made


def test_without_a_rollout_decisions_are_in_force() -> None:
    assert stage_of(TenantSettings(), "webchat", "c") is Stage.ON
    assert stage_of(settings(Rollout.STAGE_UNSPECIFIED), "webchat", "c") is Stage.ON
    assert stage_of(settings(Rollout.ON), "webchat", "c") is Stage.ON
    assert stage_of(settings(Rollout.SHADOW), "webchat", "c") is Stage.SHADOW


def test_a_channel_has_a_stage_of_its_own() -> None:
    given_ = settings(
        Rollout.SHADOW,
        0.0,
        ChannelRollout(channel="whatsapp", stage=Rollout.ON),
        ChannelRollout(channel="messenger", stage=Rollout.CANARY, canary_percent=100),
    )
    assert stage_of(given_, "webchat", "c") is Stage.SHADOW
    assert stage_of(given_, "whatsapp", "c") is Stage.ON
    assert stage_of(given_, "messenger", "c") is Stage.CANARY


@given(ids, percents, percents, st.sampled_from(("webchat", "whatsapp", "messenger", "api")))
def test_a_growing_canary_keeps_whom_it_has(
    conversation: str, one: float, other: float, channel: str
) -> None:
    small, large = sorted((one, other))
    before = stage_of(settings(Rollout.CANARY, small), channel, conversation)
    after = stage_of(settings(Rollout.CANARY, large), channel, conversation)
    assert not before.in_force or after.in_force
    assert before is stage_of(settings(Rollout.CANARY, small), channel, conversation)


@given(ids)
def test_nobody_and_everybody(conversation: str) -> None:
    assert stage_of(settings(Rollout.CANARY, 0.0), "webchat", conversation) is Stage.SHADOW
    assert stage_of(settings(Rollout.CANARY, 100.0), "webchat", conversation) is Stage.CANARY
    assert 0.0 <= place_of(conversation) < 100.0


def test_the_share_is_what_was_asked_for() -> None:
    inside = sum(
        stage_of(settings(Rollout.CANARY, 20.0), "webchat", f"conversation-{number}").in_force
        for number in range(10_000)
    )
    # Five standard deviations of a binomial share.
    assert abs(inside - 2000) < 200


policies = st.builds(Policy, mode=st.sampled_from(Mode), enabled=st.booleans(), add_disclaimers=st.booleans())
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
ASKED_FOR = {Reason.CUSTOMER_REQUEST, Reason.KEYWORD, Reason.NO_REPLY, Reason.UNSUPPORTED_MESSAGE}


@given(facts, policies)
def test_out_of_force_a_draft_goes_out_and_the_record_says_what_would_have_been(
    values: TurnFacts, policy: Policy
) -> None:
    live, shadow = decide(values, policy), decide(values, replace(policy, shadow=True))
    if live.action is Action.NONE or live.reason in ASKED_FOR or not policy.enabled:
        assert shadow == live
    else:
        assert (shadow.action, shadow.reason) == (Action.CONTINUE, Reason.NONE)
        assert (shadow.shadow_action, shadow.shadow_reason) == (live.action, live.reason)
        assert (shadow.score, shadow.thresholds) == (live.score, live.thresholds)
    assert live.shadow_action is Action.NONE


@given(policies, st.booleans())
def test_the_record_of_a_policy_says_whether_it_was_in_force(policy: Policy, shadow: bool) -> None:
    kept = to_record(replace(policy, shadow=shadow))
    assert from_record(kept).shadow is shadow
    kept.pop("shadow")
    assert from_record(kept).shadow is False


@pytest.mark.parametrize("stage", Stage)
def test_only_shadow_is_out_of_force(stage: Stage) -> None:
    assert stage.in_force == (stage is not Stage.SHADOW)
