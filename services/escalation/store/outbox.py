"""Outbox rows: claimed for sending, moved on by reports, and handed to the relay."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, or_, select, tuple_, update

from services.escalation.handoffs.priority import window_end
from services.escalation.outbox import (
    BEHIND,
    EXPLANATIONS,
    HEARD_EVERY,
    PUT_ASIDE,
    REPLY,
    UNDELIVERED,
    WAITS_FOR_EARLIER,
    Claim,
    Outbound,
    State,
    Verdict,
    claim,
    expired,
    lost_place,
    report,
)
from services.escalation.store import conversations, records, waiting, wakeups, withdrawals
from services.escalation.store.conversations import LockedConversation, holding
from services.escalation.store.schema import outbox, tenants
from services.escalation.turns.closing import HANDOFF_REQUESTED

DELIVERY_FAILED: Final = "delivery.failed"
DELIVERY_UNKNOWN: Final = "delivery.unknown"
_BY_ID: Final = select(outbox).where(
    outbox.c.tenant_id == bindparam("tenant"), outbox.c.id == bindparam("id")
)
_BY_PROVIDER: Final = (
    select(outbox)
    .where(
        outbox.c.tenant_id == bindparam("tenant"),
        outbox.c.channel == bindparam("channel"),
        outbox.c.provider_message_id == bindparam("provider"),
    )
    .order_by(outbox.c.id.desc())
    .limit(1)
)
_EARLIER: Final = (
    select(outbox)
    .where(
        outbox.c.conversation_id == bindparam("conversation"),
        outbox.c.message_id < bindparam("message"),
        outbox.c.state.in_((str(State.QUEUED), str(State.SENDING))),
    )
    .order_by(outbox.c.message_id)
)

Row = Mapping[Any, Any]


def find(
    connection: Connection, tenant_id: str, *, outbound_id: str = "", channel: str = "", provider_id: str = ""
) -> Row | None:
    """An outbox row by our id, else by the provider's."""
    if outbound_id:
        return connection.execute(_BY_ID, {"tenant": tenant_id, "id": outbound_id}).mappings().first()
    if not (channel and provider_id):
        return None
    key = {"tenant": tenant_id, "channel": channel, "provider": provider_id}
    return connection.execute(_BY_PROVIDER, key).mappings().first()


def claim_row(
    connection: Connection,
    tenant_id: str,
    row: Row,
    *,
    reachable: bool,
    lease_until: datetime,
    now: datetime,
    troubled_since: datetime | None = None,
) -> tuple[Claim, int]:
    """Take a row for sending; returns the answer and the number of the attempt (0 where nothing is sent).

    `troubled_since`: since when the channel waits for a person; None: nothing is wrong with it.
    """
    with holding(connection, tenant_id, row["conversation_id"], now) as conversation:
        found = find(connection, tenant_id, outbound_id=row["id"])
        if conversation is None or found is None:
            return Claim(Verdict.CANCELLED, reason="the message is gone"), 0
        earlier = _earlier_in_hand(connection, conversation, found, now)
        lost = [row for row in earlier if _lost_place(row, found, now)]
        answer = claim(
            outbound(found),
            active=conversation.status == conversations.ACTIVE,
            reachable=reachable,
            earlier=len(lost) < len(earlier),
            now=now,
            window_ends_at=window_end(conversation.channel, conversation.last_customer_message_at),
            troubled_since=troubled_since,
        )
        if answer.state is None:
            if answer.verdict is Verdict.BUSY and found["state"] == State.QUEUED:
                _note_waiting(connection, found, answer, now)
            return answer, 0
        attempt = found["attempt"]
        if answer.state is State.SENDING:
            attempt += 1
            move(
                connection,
                conversation,
                found,
                answer.state,
                now,
                attempt=attempt,
                attempted_at=now,
                lease_expires_at=lease_until,
            )
            # Only now: where a person is asked for, what is queued is taken back, and this one goes out.
            _put_aside(connection, conversation, lost, now)
            return answer, attempt
        move(connection, conversation, found, answer.state, now, **_why(answer))
        return answer, 0


def report_row(
    connection: Connection,
    tenant_id: str,
    row: Row,
    reported: State,
    *,
    attempt: int,
    now: datetime,
    provider_id: str = "",
    error_code: str = "",
    error_detail: str = "",
    called_at: datetime | None = None,
) -> bool:
    """Move a row on; returns whether anything changed.

    `called_at`: when the attempt called the provider, which is nearer to when it was sent than the claim.
    """
    with holding(connection, tenant_id, row["conversation_id"], now) as conversation:
        found = find(connection, tenant_id, outbound_id=row["id"])
        if conversation is None or found is None:
            return False
        comes_back = reported is State.QUEUED and found["kind"] == REPLY
        outdated = comes_back and withdrawals.outdated(connection, conversation, found)
        another = bool(provider_id and found["provider_message_id"] not in ("", provider_id))
        following = report(outbound(found), reported, attempt, outdated=outdated, of_another_send=another)
        values: dict[str, Any] = {}
        if attempt == found["attempt"] and called_at and (found["attempted_at"] or now) < called_at <= now:
            values["attempted_at"] = called_at
        if following is None:
            # The id is worth keeping even where the state is known; a failure's may be of an old send.
            if provider_id and not found["provider_message_id"] and reported is not State.FAILED:
                values["provider_message_id"] = provider_id
            if values:
                _change(connection, found["id"], updated_at=now, **values)
            return "provider_message_id" in values
        values |= {"error_code": error_code, "error_detail": error_detail}
        if provider_id and not (another and attempt != found["attempt"]):
            values["provider_message_id"] = provider_id
        if following is State.QUEUED:
            values["lease_expires_at"] = None
        if following is State.QUEUED and found["state"] == State.DELIVERY_UNKNOWN:
            # Its message was acknowledged when the attempt counted as unknown: publish it again.
            values["published_at"] = None
            wakeups.wake(connection, wakeups.OUTBOX)
        move(connection, conversation, found, following, now, **values)
        return True


def unpublished(
    connection: Connection, limit: int, *, but: Collection[tuple[str, str]] = ()
) -> Sequence[Row]:
    """Rows that the relay has not published yet, the oldest first; `but` for these tenants' channels."""
    query = select(outbox).where(outbox.c.published_at.is_(None)).order_by(outbox.c.id).limit(limit)
    if but:
        query = query.where(tuple_(outbox.c.tenant_id, outbox.c.channel).not_in(but))
    return connection.execute(query).mappings().all()


def mark_published(connection: Connection, rows: Sequence[Row], now: datetime) -> None:
    """Say that these rows are on their queues, as they were read. One that was claimed since and waits to be
    sent once more is not marked: its copy on the queue may be used up.
    """
    by_attempt: dict[int, list[str]] = {}
    for row in rows:
        by_attempt.setdefault(row["attempt"], []).append(row["id"])
    for attempt, ids in by_attempt.items():
        as_read = or_(outbox.c.attempt == attempt, outbox.c.state != str(State.QUEUED))
        connection.execute(update(outbox).where(outbox.c.id.in_(ids), as_read).values(published_at=now))


def _earlier_in_hand(
    connection: Connection, conversation: LockedConversation, row: Row, now: datetime
) -> list[Row]:
    """Earlier messages of the conversation that are not out yet; settles attempts that ended unheard."""
    in_hand: list[Row] = []
    key = {"conversation": conversation.id, "message": row["message_id"]}
    for earlier in connection.execute(_EARLIER, key).mappings().all():
        if expired(State(earlier["state"]), earlier["lease_expires_at"], now):
            move(connection, conversation, earlier, State.DELIVERY_UNKNOWN, now)
        else:
            in_hand.append(earlier)
    return in_hand


def _lost_place(earlier: Row, row: Row, now: datetime) -> bool:
    return lost_place(
        State(earlier["state"]),
        updated_at=earlier["updated_at"],
        published_at=earlier["published_at"],
        waits_until=row["lease_expires_at"],
        now=now,
    )


def _note_waiting(connection: Connection, row: Row, answer: Claim, now: datetime) -> None:
    """Remember that a queued message asked: later ones see that it lives, and it waits for earlier ones for a
    while only.
    """
    values: dict[str, Any] = {}
    if now - row["updated_at"] >= HEARD_EVERY:
        values["updated_at"] = now
    if answer.reason == BEHIND and row["lease_expires_at"] is None:
        values["lease_expires_at"] = now + WAITS_FOR_EARLIER
    if values:
        _change(connection, row["id"], **values)


def _put_aside(
    connection: Connection, conversation: LockedConversation, lost: Sequence[Row], now: datetime
) -> None:
    """What a later message has overtaken is never sent after it; who waits for it goes to a person."""
    if not lost:
        return
    failed = update(outbox).where(outbox.c.id.in_([row["id"] for row in lost]))
    connection.execute(failed.values(state=str(State.FAILED)))
    for row in lost:
        values = {"error_code": PUT_ASIDE, "error_detail": EXPLANATIONS[PUT_ASIDE]}
        move(connection, conversation, row, State.FAILED, now, **values)


def move(
    connection: Connection,
    conversation: LockedConversation,
    row: Row,
    state: State,
    now: datetime,
    **values: Any,
) -> None:
    """Set the state of a row whose conversation this unit holds, and tell of what people must know."""
    _change(connection, row["id"], state=str(state), updated_at=now, **values)
    conversation.set(updated_at=now)
    if state is State.CANCELLED:
        withdrawals.withhold(connection, [row["message_id"]])
    if state is State.FAILED and row["kind"] == REPLY and conversation.status == conversations.ACTIVE:
        _ask_for_person(connection, conversation, row, values.get("error_code", ""), now)
    type_ = {State.FAILED: DELIVERY_FAILED, State.DELIVERY_UNKNOWN: DELIVERY_UNKNOWN}.get(state)
    if type_ is not None:
        data = {
            "outboundId": row["id"],
            "messageId": row["message_id"],
            "channel": row["channel"],
            "errorCode": values.get("error_code", ""),
            "errorDetail": values.get("error_detail", ""),
        }
        records.add_event(
            connection,
            type_,
            tenant_id=row["tenant_id"],
            now=now,
            conversation_id=row["conversation_id"],
            turn_id=row["turn_id"],
            data={name: value for name, value in data.items() if value},
        )


def _ask_for_person(
    connection: Connection, conversation: LockedConversation, row: Row, error_code: str, now: datetime
) -> None:
    """The customer's answer will never arrive: somebody must see that they wait, where people are there."""
    chosen = select(tenants.c.settings).where(tenants.c.id == row["tenant_id"])
    settings = connection.execute(chosen).scalar_one_or_none() or {}
    if not settings.get("enableHumanHandoff", True):
        return
    handoff_id = waiting.open_plain(
        connection, conversation, reason=UNDELIVERED, now=now, turn_id=row["turn_id"]
    )
    records.add_event(
        connection,
        HANDOFF_REQUESTED,
        tenant_id=row["tenant_id"],
        now=now,
        conversation_id=row["conversation_id"],
        turn_id=row["turn_id"],
        data={
            "reason": UNDELIVERED,
            "messageId": row["message_id"],
            "channel": row["channel"],
            "handoffId": handoff_id,
            "errorCode": error_code,
        },
    )


def _change(connection: Connection, outbound_id: str, **values: Any) -> None:
    connection.execute(update(outbox).where(outbox.c.id == outbound_id), values)


def _why(answer: Claim) -> dict[str, Any]:
    if answer.state is not State.FAILED:
        return {}
    return {"error_code": answer.reason, "error_detail": EXPLANATIONS.get(answer.reason, "")}


def outbound(row: Row) -> Outbound:
    """What the rules need of a row."""
    return Outbound(row["kind"], State(row["state"]), row["attempt"], row["lease_expires_at"])
