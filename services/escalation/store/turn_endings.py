"""The end of a turn, written: its decision with message, handoff, events and outbound message in one unit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.escalation.policy import TurnFacts
from services.escalation.store import conversations, records, turns, waiting
from services.escalation.store.conversations import LockedConversation
from services.escalation.turns import outcome as outcomes
from services.escalation.turns.closing import RECEIVED_WHILE_HELD, TURN_FAILED, Closing, event_data
from services.escalation.turns.model import TurnState
from services.escalation.turns.outcome import Scored
from services.escalation.verdicts.sampling import review_of


def hold(
    connection: Connection,
    conversation: LockedConversation,
    turn: Mapping[str, Any],
    *,
    now: datetime,
    draft: Mapping[str, Any] | None = None,
    withheld: str = "",
    confirmation: str = "",
) -> dict[str, Any]:
    """End a turn because a person has the conversation: tell the person, keep a draft that came too late.

    `confirmation`: what is said to an e-mail address that who waits was asked for.
    Returns the columns of the turn that changed.
    """
    if withheld:
        _keep_draft(connection, conversation, turn["id"], withheld, now)
    values: dict[str, Any] = {
        "state": str(TurnState.HELD),
        "handled_by": outcomes.HUMAN,
        "draft": draft,
        "completed_at": now,
    }
    turns.change(connection, turn["id"], **values)
    tell_holder(connection, conversation, turn, now, confirmation)
    return values


def hold_open(connection: Connection, conversation: LockedConversation, now: datetime) -> None:
    """End every turn that is not over: the person who has the conversation is about to let it go.

    What was asked until then was theirs to answer. A draft of it that comes later, when the assistant has the
    conversation again, finds its turn over.
    """
    for turn in turns.open_turns(connection, conversation.id):
        hold(connection, conversation, turn, now=now)


def tell_holder(
    connection: Connection,
    conversation: LockedConversation,
    turn: Mapping[str, Any],
    now: datetime,
    confirmation: str = "",
) -> None:
    """Tell the person who has the conversation that its customer wrote."""
    waiting.customer_wrote(
        connection,
        conversation,
        turn_id=turn["id"],
        message_id=turn["inbound_id"],
        confirmation=confirmation,
        now=now,
    )
    records.add_event(
        connection,
        RECEIVED_WHILE_HELD,
        tenant_id=conversation.tenant_id,
        now=now,
        conversation_id=conversation.id,
        turn_id=turn["id"],
        data={"messageId": turn["inbound_id"], "heldBy": conversation.assigned_to},
    )


def finish(
    connection: Connection,
    conversation: LockedConversation,
    turn: Mapping[str, Any],
    closing: Closing,
    *,
    now: datetime,
    policy: Mapping[str, Any],
    stage: str,
    facts: TurnFacts | None = None,
    scored: Scored | None = None,
    draft: Mapping[str, Any] | None = None,
    failure: str = "",
    deliver: bool = True,
    audit_rate: float = 0.0,
) -> dict[str, Any]:
    """End a turn with its decision: message, handoff, events and outbound message in this one unit.

    Returns the columns of the turn that changed.
    `turn` needs id, inbound_id and message_id. `deliver`: whether we send the reply on a channel of ours.
    `audit_rate`: share of the sent replies that a person is to judge.
    """
    scored = scored or Scored()
    decision = closing.decision
    review = review_of(
        turn["id"],
        decision.action,
        sent=bool(closing.reply) and not closing.notice,
        scored=scored.raw_score is not None,
        rate=audit_rate,
    )
    if decision.escalated:
        conversation.needs_person(now)
    if closing.withheld:
        _keep_draft(connection, conversation, turn["id"], closing.withheld, now)
    handoff_id = (
        waiting.open_handoff(connection, conversation, turn["id"], closing, now) if closing.hands_over else ""
    )
    reply_id = ""
    if closing.reply:
        reply_id = conversations.add_message(
            connection, conversation, source=closing.source, text=closing.reply, now=now, turn_id=turn["id"]
        )
        if deliver:
            records.add_outbound(
                connection,
                conversation,
                message_id=reply_id,
                kind="notice" if closing.notice else "reply",
                text=closing.reply,
                now=now,
                turn_id=turn["id"],
                reply_to=turn["message_id"],
            )
    values: dict[str, Any] = {
        "state": str(TurnState.DECIDED),
        **outcomes.decision_columns(decision),
        **outcomes.scored_columns(scored),
        "policy": dict(policy),
        "rollout_stage": stage,
        "facts": None if facts is None else facts_record(facts),
        "draft": None if draft is None else dict(draft),
        "reply": closing.reply,
        "reply_message_id": reply_id,
        "handoff_id": handoff_id,
        "handled_by": outcomes.HUMAN if closing.hands_over else outcomes.ASSISTANT,
        "failure": failure,
        "review": review.origin,
        "audited": review.audited,
        "sampling_probability": review.sampling_probability,
        "completed_at": now,
    }
    turns.change(connection, turn["id"], **values)
    if closing.event:
        _tell(connection, conversation, turn, closing.event, closing, scored, now, handoffId=handoff_id)
    if failure:
        _tell(connection, conversation, turn, TURN_FAILED, closing, scored, now, detail=failure)
    return values


def _tell(
    connection: Connection,
    conversation: LockedConversation,
    turn: Mapping[str, Any],
    type_: str,
    closing: Closing,
    scored: Scored,
    now: datetime,
    **more: Any,
) -> None:
    records.add_event(
        connection,
        type_,
        tenant_id=conversation.tenant_id,
        now=now,
        conversation_id=conversation.id,
        turn_id=turn["id"],
        data=event_data(
            closing.decision,
            message_id=turn["inbound_id"],
            signals=scored.signals,
            scorer_version=scored.version,
            channel=conversation.channel,
            **more,
        ),
    )


def _keep_draft(
    connection: Connection, conversation: LockedConversation, turn_id: str, text: str, now: datetime
) -> None:
    conversations.add_message(
        connection, conversation, source="ai_agent", text=text, now=now, turn_id=turn_id, withheld=True
    )


def facts_record(facts: TurnFacts) -> dict[str, Any]:
    """What is kept of the facts: those that are there."""
    return {
        name: getattr(facts, name)
        for name in TurnFacts.__slots__
        # Not "in (None, False)": a score of 0.0 equals False, and is a fact.
        if getattr(facts, name) is not None and getattr(facts, name) is not False
    }
