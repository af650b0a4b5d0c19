"""Policies as others write them: in a tenant's settings, in a request, in the record of a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from metachat.escalation.v1 import policy_pb2
from metachat.escalation.v1.settings_pb2 import TenantSettings

from services.common.errors import FieldFault, Kind, ServiceError
from services.escalation.policy import Mode, Policy, Thresholds, WithoutScore

_WITHOUT_SCORE: Final = {
    policy_pb2.Policy.WITHOUT_SCORE_UNSPECIFIED: WithoutScore.BY_RISK,
    policy_pb2.Policy.REVIEW: WithoutScore.REVIEW,
    policy_pb2.Policy.ESCALATE: WithoutScore.ESCALATE,
}


def from_settings(settings: TenantSettings, *, version: int, enabled_globally: bool) -> Policy:
    """A tenant's policy; what its settings leave open has its default."""
    given = settings.confidence_escalation
    return Policy(
        mode=_mode(given.mode),
        enabled=enabled_globally and (given.enabled if given.HasField("enabled") else True),
        immediate=_optional(given, "immediate_escalation_threshold"),
        review=_optional(given, "suggest_review_threshold"),
        add_disclaimers=given.add_disclaimers if given.HasField("add_disclaimers") else True,
        without_score=_WITHOUT_SCORE[given.without_score],
        version=version,
    )


def from_proto(message: policy_pb2.Policy) -> Policy:
    """The policy of a request. Raises ServiceError(INVALID) where its thresholds are out of order."""
    policy = Policy(
        mode=_mode(message.mode),
        enabled=message.enabled,
        immediate=_optional(message, "immediate_threshold"),
        review=_optional(message, "review_threshold"),
        add_disclaimers=message.add_disclaimers,
        without_score=_WITHOUT_SCORE[message.without_score],
        version=message.version,
    )
    if pair := policy.out_of_order():
        raise _disorder(pair)
    return policy


def to_record(policy: Policy) -> dict[str, Any]:
    """The policy as a turn keeps it, so that its decision can be made again."""
    record = {name: value for name, value in asdict(policy).items() if value is not None}
    return {**record, "mode": str(policy.mode), "without_score": policy.without_score.value}


def from_record(record: Mapping[str, Any]) -> Policy:
    """The inverse of `to_record`. Raises ValueError or TypeError for what is none."""
    values = dict(record)
    return Policy(
        **{
            **values,
            "mode": Mode(values["mode"]),
            "without_score": WithoutScore(values["without_score"]),
        }
    )


def _mode(value: int) -> Mode:
    if value == policy_pb2.Policy.MODE_UNSPECIFIED:
        return Mode.STANDARD
    return Mode(policy_pb2.Policy.Mode.Name(value))  # type: ignore[arg-type] # a value of its enum


def _optional(message: Any, name: str) -> float | None:
    return float(getattr(message, name)) if message.HasField(name) else None


def _disorder(pair: Thresholds) -> ServiceError:
    sentence = f"immediate threshold {pair.immediate:g} must not be above review threshold {pair.review:g}"
    return ServiceError(
        Kind.INVALID,
        sentence,
        fields=(
            FieldFault("policy.immediate_threshold", sentence),
            FieldFault("policy.review_threshold", sentence),
        ),
        metadata={"immediateThreshold": f"{pair.immediate:g}", "reviewThreshold": f"{pair.review:g}"},
    )
