"""Frustration through a real server: the question asked again, the third poor answer, the switch."""

from __future__ import annotations

from typing import Any

from metachat.escalation.v1 import escalation_pb2, policy_pb2
from metachat.escalation.v1.settings_pb2 import ConfidenceEscalationSettings

from services.escalation.store.schema import events, turns
from tests.contract.escalation_server import TENANT, World, database_url, world

__all__ = ["database_url", "world"]

Decision = policy_pb2.Decision
QUESTIONS = ("How much is shipping?", "Can I pay by invoice?", "Which colours are in stock?")


async def ask(world: World, text: str, conversation: str = "", reply: str = "It is so. score=0.90") -> Any:
    begun = await world.begin(text, conversation_id=conversation)
    if begun.WhichOneof("result") != "draft":
        return begun.escalated
    return await world.complete(begun, reply)


async def test_the_same_question_again_is_met_by_a_person(world: World) -> None:
    first = await ask(world, "Where is my order?")
    other = await ask(world, "How much is shipping?", first.conversation_id)
    assert other.decision.action == Decision.CONTINUE
    asked = len(world.confidence.requests)
    again = await ask(world, "Hello, where is my ORDER??", first.conversation_id)
    assert again.decision.action == Decision.IMMEDIATE_ESCALATION
    assert again.decision.reason == "frustration"
    assert not again.decision.HasField("score")
    assert len(world.confidence.requests) == asked
    [event] = await world.rows(events, events.c.type == "human_handoff.requested")
    assert event["data"]["reason"] == "frustration"


async def test_a_repeated_message_id_is_no_repeated_question(world: World) -> None:
    begun = await world.begin("Where is my order?", message_id="one")
    await world.complete(begun, "Here.")
    again = await world.begin("Where is my order?", message_id="one")
    assert again.WhichOneof("result") == "recorded"


async def test_the_third_poor_answer_in_a_row_is_withheld(world: World) -> None:
    conversation, actions = "", []
    for question in QUESTIONS:
        outcome = await ask(world, question, conversation, "Perhaps. score=0.45")
        conversation = outcome.conversation_id
        actions.append((outcome.decision.action, outcome.decision.reason))
    assert actions == [
        (Decision.SUGGEST_REVIEW, "low_confidence"),
        (Decision.SUGGEST_REVIEW, "low_confidence"),
        (Decision.IMMEDIATE_ESCALATION, "frustration"),
    ]
    last = (await world.rows(turns))[-1]
    assert last["facts"]["frustrated"] is True
    assert last["raw_score"] == 0.45


async def test_a_good_answer_between_them_starts_the_count_anew(world: World) -> None:
    conversation = ""
    for question, score in zip((*QUESTIONS, "Do you ship to Malta?"), (0.45, 0.9, 0.45, 0.45), strict=True):
        outcome = await ask(world, question, conversation, f"Perhaps. score={score:.2f}")
        conversation = outcome.conversation_id
    assert outcome.decision.action == Decision.SUGGEST_REVIEW


async def test_a_tenant_that_does_not_want_it(world: World) -> None:
    await world.configure(confidence_escalation=ConfidenceEscalationSettings(detect_frustration=False))
    conversation = ""
    for question in ("Where is my order?", "Where is my order?", "This is useless, I am angry"):
        outcome = await ask(world, question, conversation, "Perhaps. score=0.45")
        conversation = outcome.conversation_id
        assert outcome.decision.action == Decision.SUGGEST_REVIEW


async def test_outright_words_and_callers_of_decide(world: World) -> None:
    begun = await world.begin("I am so frustrated with this shop")
    assert begun.escalated.decision.reason == "frustration"
    policy = policy_pb2.Policy(enabled=True)
    request = escalation_pb2.DecideRequest(policy=policy, score=0.99, frustrated=True)
    assert (await world.escalation().Decide(request)).reason == "frustration"


async def test_evaluate_looks_at_the_recorded_conversation(world: World) -> None:
    first = await ask(world, "Where is my order?")
    request = escalation_pb2.EvaluateRequest(
        tenant_id=TENANT, conversation_id=first.conversation_id, user_message="So where is my order?"
    )
    request.draft.reply = "On its way."
    outcome = (await world.escalation().Evaluate(request)).outcome
    assert outcome.decision.reason == "frustration"
