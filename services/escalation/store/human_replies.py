"""A person's answer from another tool, as rows: the message, and the conversation in hands elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from metachat.escalation.v1 import conversation_pb2
from sqlalchemy import ColumnElement, Connection, RowMapping, literal_column, select

from services.common.errors import invalid_field
from services.escalation.handoffs import rules
from services.escalation.store import (
    conversations,
    outbox,
    places,
    records,
    request_log,
    turn_endings,
    waiting,
)
from services.escalation.store.conversations import LockedConversation, holding
from services.escalation.store.handoffs import change_handoff, put_back, state_of, take
from services.escalation.store.schema import handoffs, messages
from services.escalation.turns.model import Arrival

RECORDED_EVENT: Final = "human_reply.recorded"
_RPC: Final = "RecordHumanReply"
_OPEN: Final = ("waiting", "claimed")
Answer = conversation_pb2.RecordHumanReplyResponse


def record(connection: Connection, echo: Arrival, now: datetime) -> Answer:
    """Record the answer once; the assistant goes silent where nobody here had the conversation.

    An echo of what we sent ourselves changes nothing. Raises ServiceError(INVALID) where nobody is named.
    Loses races with its own copies: run it by `write_through_races`.
    """
    log = {
        "tenant_id": echo.tenant_id,
        "rpc": _RPC,
        "request_id": f"{echo.channel}/{echo.account_id}/{echo.message_id}",
    }
    if (done := request_log.answered(connection, Answer, **log)) is not None:
        return done
    own = outbox.find(connection, echo.tenant_id, channel=echo.channel, provider_id=echo.message_id)
    if own is not None:
        return Answer(conversation_id=own["conversation_id"], message_id=own["message_id"])
    contact_id = places.contact_of(connection, echo)
    if contact_id is None:
        raise invalid_field("contact", "must name whom it was written to")
    place = places.place_of(connection, echo, contact_id)
    with holding(connection, echo.tenant_id, place, now) as found:
        # Asked again, now that no copy can come between.
        if (done := request_log.answered(connection, Answer, **log)) is not None:
            return done
        conversation = found or conversations.create(
            connection,
            tenant_id=echo.tenant_id,
            channel=echo.channel,
            account_id=echo.account_id,
            contact_id=contact_id,
            standing_key=places.standing_key(echo, contact_id),
            now=now,
        )
        message_id = conversations.add_message(
            connection,
            conversation,
            source="human_agent",
            author=rules.ELSEWHERE,
            text=echo.text,
            now=now,
            provider_message_id=echo.message_id,
            media_kind=echo.media_kind,
        )
        handoff_id = "" if _is_past(conversation, echo) else _take_over(connection, conversation, now)
        data = {"messageId": message_id, "providerMessageId": echo.message_id, "channel": echo.channel}
        if handoff_id:
            data["handoffId"] = handoff_id
        records.add_event(
            connection,
            RECORDED_EVENT,
            tenant_id=echo.tenant_id,
            now=now,
            conversation_id=conversation.id,
            data=data,
        )
        answer = Answer(conversation_id=conversation.id, message_id=message_id)
        request_log.record(connection, answer, now=now, **log)
        conversations.save(connection, conversation, now)
        return answer


def quiet(connection: Connection, *, before: datetime, limit: int) -> Sequence[RowMapping]:
    """Open handoffs in hands elsewhere since `before` or longer: (id, tenant_id, conversation_id)."""
    query = (
        select(handoffs.c.id, handoffs.c.tenant_id, handoffs.c.conversation_id)
        .where(
            # Words that stand in the statement: only then is the index of these few rows used.
            handoffs.c.state == literal_column(f"'{rules.CLAIMED}'"),
            handoffs.c.claimed_by == literal_column(f"'{rules.ELSEWHERE}'"),
            handoffs.c.claimed_at <= before,
            ~_wrote_since(before),
        )
        .order_by(handoffs.c.claimed_at)
        .limit(limit)
    )
    return connection.execute(query).mappings().all()


def _wrote_since(before: datetime) -> ColumnElement[bool]:
    return (
        select(messages.c.id)
        .where(
            messages.c.conversation_id == handoffs.c.conversation_id,
            messages.c.source.in_(rules.HUMAN_SOURCES),
            messages.c.created_at > before,
        )
        .exists()
    )


def let_go(
    connection: Connection, *, tenant_id: str, conversation_id: str, handoff_id: str, now: datetime
) -> str:
    """The person elsewhere has long been silent: the state the handoff goes to, empty where it is too late.

    Where the customer had the last word, somebody here must see it; else the assistant goes on, with a fresh
    context, when the customer writes again.
    """
    with holding(connection, tenant_id, conversation_id, now) as conversation:
        query = select(handoffs).where(handoffs.c.id == handoff_id)
        row = connection.execute(query).mappings().first()
        if conversation is None or row is None or row["claimed_by"] != rules.ELSEWHERE:
            return ""
        if row["state"] != rules.CLAIMED:
            return ""
        last = connection.execute(
            select(messages.c.source)
            .where(
                messages.c.conversation_id == conversation_id,
                messages.c.withheld.is_(False),
                messages.c.source.in_(("customer", *rules.HUMAN_SOURCES)),
            )
            .order_by(messages.c.id.desc())
            .limit(1)
        ).scalar()
        if last == "customer":
            state, type_ = rules.WAITING, rules.TRANSFERRED_EVENT
            put_back(connection, row, now)
            conversation.set(assigned_to="")
        else:
            state, type_ = rules.RETURNED, rules.RETURNED_EVENT
            turn_endings.hold_open(connection, conversation, now)
            change_handoff(connection, tenant_id, handoff_id, state=state, ended_at=now)
            conversation.set(status=conversations.ACTIVE, assigned_to="", context_started_at=now)
        records.add_event(
            connection,
            type_,
            tenant_id=tenant_id,
            now=now,
            conversation_id=conversation_id,
            turn_id=row["turn_id"],
            data={"handoffId": handoff_id, "agent": rules.ELSEWHERE, "reason": row["reason"]},
        )
        return state


def _is_past(conversation: LockedConversation, echo: Arrival) -> bool:
    """Whether it was written before the conversation came back to the assistant: then it stays there."""
    since = conversation.context_started_at
    if echo.sent_at is None or since <= conversation.created_at:
        return False
    # Providers tell whole seconds.
    return echo.sent_at < since.replace(microsecond=0)


def _take_over(connection: Connection, conversation: LockedConversation, now: datetime) -> str:
    """Put the conversation into hands elsewhere; the handoff's id, empty where somebody here has it."""
    query = select(handoffs).where(handoffs.c.conversation_id == conversation.id, handoffs.c.state.in_(_OPEN))
    row = connection.execute(query).mappings().first()
    state = None if row is None else state_of(row)
    if not rules.taken_elsewhere(state):
        return ""
    if row is None:
        turn_id, reason, waited = None, rules.ANSWERED_ELSEWHERE, 0.0
        handoff_id = waiting.open_plain(
            connection, conversation, reason=reason, now=now, claimed_by=rules.ELSEWHERE
        )
    else:
        handoff_id, turn_id, reason = row["id"], row["turn_id"], row["reason"]
        waited = rules.waiting_seconds(row["created_at"], None, None, now)
        take(connection, row, name=rules.ELSEWHERE, identity="", now=now)
        conversation.set(status=conversations.ASSIGNED_HUMAN, assigned_to=rules.ELSEWHERE)
    records.add_event(
        connection,
        rules.CLAIMED_EVENT,
        tenant_id=conversation.tenant_id,
        now=now,
        conversation_id=conversation.id,
        turn_id=turn_id,
        data={
            "handoffId": handoff_id,
            "agent": rules.ELSEWHERE,
            "reason": reason,
            "waitingSeconds": round(waited, 3),
        },
    )
    return str(handoff_id)
