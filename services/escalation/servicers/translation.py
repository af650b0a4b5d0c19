"""Words of the store and values of the domain as messages of the contracts, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from metachat.confidence.v1.confidence_pb2 import Signal
from metachat.escalation.v1 import conversation_pb2, policy_pb2
from metachat.escalation.v1.tenant_pb2 import Channel

from services.escalation.outbox import shown_delivery
from services.escalation.policy import Decision, Thresholds
from services.escalation.turns.outcome import ASSISTANT, HUMAN, Outcome

_CHANNELS: Final[Mapping[int, str]] = {
    number: name.lower() for name, number in Channel.Kind.items() if number != Channel.KIND_UNSPECIFIED
}
_KINDS: Final = {word: number for number, word in _CHANNELS.items()}
_HANDLERS: Final = {
    ASSISTANT: conversation_pb2.TurnOutcome.ASSISTANT,
    HUMAN: conversation_pb2.TurnOutcome.HUMAN,
}


def channel_word(kind: int) -> str:
    """The stored word of a channel ("whatsapp"); empty for UNSPECIFIED."""
    return _CHANNELS.get(kind, "")


def channel_kind(word: str) -> Any:
    """The enum value of a stored word."""
    return _KINDS.get(word, Channel.KIND_UNSPECIFIED)


def storable(text: str) -> str:
    """The text without NUL characters, which PostgreSQL keeps in no text."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def timestamp(moment: datetime | None) -> Timestamp | None:
    """An instant; None stays None, which leaves a field unset."""
    if moment is None:
        return None
    result = Timestamp()
    result.FromDatetime(moment)
    return result


def moment(message: Any, name: str) -> datetime | None:
    """A timestamp field as an aware datetime; None where it is unset or no date that Python knows."""
    if not message.HasField(name):
        return None
    try:
        found: datetime = getattr(message, name).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return found


def duration(seconds: float) -> Duration:
    """Seconds as a Duration."""
    result = Duration()
    result.FromMicroseconds(round(seconds * 1_000_000))
    return result


def decision_message(decision: Decision, scorer_version: str = "") -> policy_pb2.Decision:
    """A decision; score and level stay absent where there is none."""
    message = policy_pb2.Decision(
        action=policy_pb2.Decision.Action.Value(str(decision.action) or "ACTION_UNSPECIFIED"),
        reason=str(decision.reason),
        escalated=decision.escalated,
        enabled=decision.enabled,
        thresholds=thresholds_message(decision.thresholds),
        mode=policy_pb2.Policy.Mode.Value(str(decision.mode)),
        high_stakes=decision.high_stakes,
        policy_version=decision.policy_version,
    )
    if decision.score is not None:
        message.score = decision.score
        message.level = str(decision.level)
        message.scorer_version = scorer_version
    if decision.shadow_action:
        message.shadow_action = policy_pb2.Decision.Action.Value(str(decision.shadow_action))
        message.shadow_reason = str(decision.shadow_reason)
    return message


def thresholds_message(thresholds: Thresholds) -> policy_pb2.Thresholds:
    """A pair of thresholds."""
    return policy_pb2.Thresholds(immediate=thresholds.immediate, review=thresholds.review)


def signal_messages(signals: Iterable[Mapping[str, Any]]) -> list[Signal]:
    """Signals as they are stored."""
    return [Signal(**signal) for signal in signals]


def outcome_message(outcome: Outcome) -> conversation_pb2.TurnOutcome:
    """What came of a turn."""
    return conversation_pb2.TurnOutcome(
        turn_id=outcome.turn_id,
        conversation_id=outcome.conversation_id,
        message_id=outcome.inbound_id,
        decision=None
        if outcome.decision is None
        else decision_message(outcome.decision, outcome.scorer_version),
        reply=outcome.reply,
        reply_message_id=outcome.reply_message_id,
        handled_by=_HANDLERS.get(outcome.handled_by, conversation_pb2.TurnOutcome.HANDLER_UNSPECIFIED),
        signals=signal_messages(outcome.signals),
        completed_at=timestamp(outcome.completed_at),
        handoff_id=outcome.handoff_id,
    )


def conversation_message(row: Mapping[str, Any]) -> conversation_pb2.Conversation:
    """A conversation with its contact, from a row of `store.conversations.get`."""
    return conversation_pb2.Conversation(
        id=row["id"],
        tenant_id=row["tenant_id"],
        channel=channel_kind(row["channel"]),
        contact=conversation_pb2.Contact(
            address=row["contact_address"] or "",
            user_id=row["contact_user_id"] or "",
            display_name=row["contact_name"] or "",
        ),
        status=conversation_pb2.Conversation.Status.Value(row["status"].upper()),
        assigned_to=row["assigned_to"],
        created_at=timestamp(row["created_at"]),
        updated_at=timestamp(row["updated_at"]),
        last_customer_message_at=timestamp(row["last_customer_message_at"]),
        context_started_at=timestamp(row["context_started_at"]),
    )


def message_message(row: Mapping[str, Any]) -> conversation_pb2.Message:
    """One message of a conversation, from a row of `store.transcripts`."""
    return conversation_pb2.Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        source=conversation_pb2.Message.Source.Value(row["source"].upper()),
        text=row["text"],
        author=row["author"],
        turn_id=row["turn_id"] or "",
        withheld=row["withheld"],
        delivery=shown_delivery(row["delivery"] or ""),
        created_at=timestamp(row["created_at"]),
        media_kind=row["media_kind"],
        delivery_error=_delivery_error(row),
    )


def delivery_change(row: Mapping[Any, Any]) -> conversation_pb2.DeliveryChange:
    """Where a message stands now, from a row of `store.transcripts.deliveries_of`."""
    return conversation_pb2.DeliveryChange(
        message_id=row["message_id"],
        delivery=shown_delivery(row["delivery"]),
        delivery_error=_delivery_error(row),
    )


def _delivery_error(row: Mapping[Any, Any]) -> str:
    if row["delivery"] not in ("failed", "delivery_unknown"):
        return ""
    parts = (row.get("error_code"), row.get("error_detail"))
    return ": ".join(part for part in parts if part)


def delivery_message(row: Mapping[Any, Any]) -> conversation_pb2.OutboundDelivery:
    """One outbound message on its way, from a row of the outbox."""
    return conversation_pb2.OutboundDelivery(
        outbound_id=row["id"],
        tenant_id=row["tenant_id"],
        channel=channel_kind(row["channel"]),
        conversation_id=row["conversation_id"],
        message_id=row["message_id"],
        text=row["text"],
        state=conversation_pb2.OutboundDelivery.State.Value(row["state"].upper()),
        attempts=row["attempt"],
        provider_message_id=row["provider_message_id"],
        error_code=row["error_code"],
        error_detail=row["error_detail"],
        created_at=timestamp(row["created_at"]),
        updated_at=timestamp(row["updated_at"]),
    )
