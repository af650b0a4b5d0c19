"""Rollout through a real server: in shadow every draft goes out and the record says what would have been."""

from __future__ import annotations

from typing import Any

from metachat.escalation.v1 import escalation_pb2, insight_pb2, policy_pb2
from metachat.escalation.v1.settings_pb2 import (
    ChannelRollout,
    ConfidenceEscalationSettings,
    PrivacySettings,
    Rollout,
)

from services.escalation.store.schema import conversations, events, handoffs, turns
from services.escalation.turns.rollout import place_of
from tests.contract.escalation_server import TENANT, World, database_url, world

__all__ = ["database_url", "world"]

Decision = policy_pb2.Decision


async def stage(world: World, rollout: Rollout) -> None:
    await world.configure(confidence_escalation=ConfidenceEscalationSettings(rollout=rollout))


async def ask(world: World, reply: str, text: str = "How much is it?", conversation: str = "") -> Any:
    begun = await world.begin(text, conversation_id=conversation)
    return await world.complete(begun, reply) if begun.HasField("draft") else begun.escalated


async def test_in_shadow_a_poor_draft_goes_out_as_it_is(world: World) -> None:
    await stage(world, Rollout(stage=Rollout.SHADOW))
    outcome = await ask(world, "Perhaps ten. score=0.10")
    assert outcome.reply == "Perhaps ten. score=0.10"
    assert outcome.decision.action == Decision.CONTINUE
    assert outcome.decision.shadow_action == Decision.IMMEDIATE_ESCALATION
    assert outcome.decision.shadow_reason == "low_confidence"
    assert outcome.decision.score == 0.10
    assert not outcome.decision.escalated
    assert await world.rows(handoffs) == []
    [conversation] = await world.rows(conversations)
    assert conversation["status"] == "active"
    [turn] = await world.rows(turns)
    assert (turn["rollout_stage"], turn["shadow_action"], turn["shadow_reason"]) == (
        "shadow",
        "IMMEDIATE_ESCALATION",
        "low_confidence",
    )
    [event] = await world.rows(events, events.c.type == "decision.shadowed")
    assert event["data"]["shadowAction"] == "IMMEDIATE_ESCALATION"
    assert event["data"]["confidenceScore"] == 0.10
    assert await world.rows(events, events.c.type == "human_handoff.requested") == []


async def test_a_disclaimer_is_left_out_in_shadow(world: World) -> None:
    await stage(world, Rollout(stage=Rollout.SHADOW))
    outcome = await ask(world, "Ten. score=0.70")
    assert outcome.reply == "Ten. score=0.70"
    assert outcome.decision.shadow_action == Decision.SEND_WITH_DISCLAIMER
    good = await ask(world, "Ten. score=0.95")
    assert good.decision.shadow_action == Decision.CONTINUE
    assert len(await world.rows(events, events.c.type == "decision.shadowed")) == 1


async def test_who_asks_for_a_person_gets_one_in_shadow_too(world: World) -> None:
    await stage(world, Rollout(stage=Rollout.SHADOW))
    assert (await world.begin("I want to talk to a human")).escalated.decision.reason == "customer_request"
    nothing = await ask(world, "")
    assert nothing.decision.reason == "no_reply"
    assert nothing.decision.shadow_action == Decision.ACTION_UNSPECIFIED


async def test_frustration_is_told_in_shadow_and_not_acted_upon(world: World) -> None:
    await stage(world, Rollout(stage=Rollout.SHADOW))
    first = await ask(world, "Ten. score=0.90")
    again = await ask(world, "Ten. score=0.90", conversation=first.conversation_id)
    assert again.decision.action == Decision.CONTINUE
    assert again.decision.shadow_reason == "frustration"
    assert again.reply == "Ten. score=0.90"


async def test_a_canary_is_the_same_for_every_turn_of_a_conversation(world: World) -> None:
    await stage(world, Rollout(stage=Rollout.CANARY, canary_percent=50))
    seen = set()
    for _ in range(12):
        outcome = await ask(world, "Perhaps. score=0.45")
        inside = place_of(outcome.conversation_id) < 50
        seen.add(inside)
        next_one = await ask(world, "Perhaps. score=0.45", "Which colours?", outcome.conversation_id)
        for judged in (outcome, next_one):
            expected = Decision.SUGGEST_REVIEW if inside else Decision.CONTINUE
            assert judged.decision.action == expected
    assert seen == {True, False}
    assert {row["rollout_stage"] for row in await world.rows(turns)} == {"canary", "shadow"}


async def test_evaluate_has_a_stage_of_its_own(world: World) -> None:
    await stage(world, Rollout(channels=[ChannelRollout(channel="api", stage=Rollout.SHADOW)]))
    request = escalation_pb2.EvaluateRequest(tenant_id=TENANT, user_message="How much?")
    request.draft.reply = "Perhaps. score=0.10"
    outcome = (await world.escalation().Evaluate(request)).outcome
    assert outcome.decision.shadow_action == Decision.IMMEDIATE_ESCALATION
    assert outcome.reply == "Perhaps. score=0.10"
    assert (await ask(world, "Perhaps. score=0.10")).decision.action == Decision.IMMEDIATE_ESCALATION


async def test_evaluate_in_a_canary_judges_for_the_conversation_that_it_makes(world: World) -> None:
    await stage(world, Rollout(stage=Rollout.CANARY, canary_percent=50))
    for _ in range(8):
        request = escalation_pb2.EvaluateRequest(tenant_id=TENANT, user_message="How much?")
        request.draft.reply = "Perhaps. score=0.10"
        outcome = (await world.escalation().Evaluate(request)).outcome
        assert outcome.decision.escalated == (place_of(outcome.conversation_id) < 50)


async def test_a_shadowed_decision_is_replayed_as_it_was(world: World) -> None:
    await stage(world, Rollout(stage=Rollout.SHADOW))
    outcome = await ask(world, "Perhaps. score=0.10")
    request = insight_pb2.ReplayDecisionRequest(tenant_id=TENANT, turn_id=outcome.turn_id)
    answer = await world.insights().ReplayDecision(request)
    assert answer.reproduced


async def test_the_responder_is_told_to_hide_personal_numbers(world: World) -> None:
    assert not (await world.begin("How much is it?")).draft.redact
    await world.configure(privacy=PrivacySettings(redact=True))
    assert (await world.begin("How much is it?")).draft.redact
