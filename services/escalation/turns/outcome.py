"""What came of a turn, as it is recorded and told: the same today and at every repetition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.escalation.policy import Action, Decision, Level, Mode, Reason, Thresholds

ASSISTANT: Final = "assistant"
HUMAN: Final = "human"


@dataclass(frozen=True, slots=True)
class Scored:
    """What the scorer said, stored beside the decision. `signals` have the fields of the proto Signal."""

    version: str = ""
    raw_score: float | None = None
    pattern: str = ""
    calibration: str = ""
    signals: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """See TurnOutcome in the contracts. `decision` is None where a person had the conversation."""

    turn_id: str
    conversation_id: str
    inbound_id: str
    decision: Decision | None
    scorer_version: str
    reply: str
    reply_message_id: str
    handled_by: str
    signals: Sequence[Mapping[str, Any]]
    completed_at: datetime | None
    handoff_id: str


def from_row(row: Mapping[str, Any]) -> Outcome:
    """The outcome of a turn that is over, from its row."""
    return Outcome(
        turn_id=row["id"],
        conversation_id=row["conversation_id"] or "",
        inbound_id=row["inbound_id"] or "",
        decision=decision_from(row),
        scorer_version=row["scorer_version"],
        reply=row["reply"],
        reply_message_id=row["reply_message_id"],
        handled_by=row["handled_by"],
        signals=row["signals"] or (),
        completed_at=row["completed_at"],
        handoff_id=row["handoff_id"],
    )


def decision_from(row: Mapping[str, Any]) -> Decision | None:
    """The decision of a turn's row; None where nothing was decided."""
    if not row["action"]:
        return None
    return Decision(
        action=Action(row["action"]),
        reason=Reason(row["reason"]),
        enabled=row["enabled"],
        score=row["score"],
        level=Level(row["level"]) if row["level"] else None,
        thresholds=Thresholds(row["threshold_immediate"], row["threshold_review"]),
        mode=Mode(row["mode"]),
        high_stakes=row["high_stakes"],
        policy_version=row["policy_version"],
        shadow_action=Action(row["shadow_action"]),
        shadow_reason=Reason(row["shadow_reason"]),
    )


def decision_columns(decision: Decision) -> dict[str, Any]:
    """The inverse of `decision_from`: columns of `turns`."""
    return {
        "action": str(decision.action),
        "reason": str(decision.reason),
        "enabled": decision.enabled,
        "score": decision.score,
        "level": None if decision.level is None else str(decision.level),
        "threshold_immediate": decision.thresholds.immediate,
        "threshold_review": decision.thresholds.review,
        "mode": str(decision.mode),
        "high_stakes": decision.high_stakes,
        "policy_version": decision.policy_version,
        "shadow_action": str(decision.shadow_action),
        "shadow_reason": str(decision.shadow_reason),
    }


def scored_columns(scored: Scored) -> dict[str, Any]:
    """Columns of `turns` for what the scorer said."""
    return {
        "scorer_version": scored.version,
        "raw_score": scored.raw_score,
        "pattern": scored.pattern,
        "calibration_version": scored.calibration,
        "signals": [dict(signal) for signal in scored.signals] or None,
        "loudest_signal": loudest(scored.signals),
    }


def loudest(signals: Sequence[Mapping[str, Any]]) -> str:
    """The name of the signal that spoke loudest against the reply; empty where none did."""
    against = [signal for signal in signals if signal["available"] and signal["contribution"] < 0.0]
    return str(min(against, key=lambda signal: signal["contribution"])["name"]) if against else ""
