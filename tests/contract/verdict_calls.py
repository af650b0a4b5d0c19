"""Calls that give verdicts and ask what they made, as the tests of verdicts make them."""

from __future__ import annotations

from typing import Any

from metachat.escalation.v1 import handoff_pb2 as pb
from metachat.escalation.v1 import insight_pb2
from metachat.escalation.v1.settings_pb2 import ConfidenceEscalationSettings

from tests.contract.escalation_server import TENANT, World

CORRECT, WRONG, EDITED = (
    pb.RecordVerdictRequest.CORRECT,
    pb.RecordVerdictRequest.WRONG,
    pb.RecordVerdictRequest.EDITED,
)


async def say(world: World, turn_id: str, verdict: Any = CORRECT, token: str = "", **fields: Any) -> Any:
    stub = world.handoffs(token) if token else world.handoffs()
    fields.setdefault("tenant_id", TENANT)
    fields.setdefault("agent", "Ana")
    return await stub.RecordVerdict(pb.RecordVerdictRequest(turn_id=turn_id, verdict=verdict, **fields))


async def audit(world: World, rate: float) -> None:
    """Draw this share of what is sent for the audit."""
    await world.configure(confidence_escalation=ConfidenceEscalationSettings(audit_rate=rate))


async def reviews(world: World, **fields: Any) -> Any:
    return await world.handoffs().ListReviews(pb.ListReviewsRequest(tenant_id=TENANT, **fields))


async def reliability(world: World) -> Any:
    return await world.insights().GetReliability(insight_pb2.GetReliabilityRequest(tenant_id=TENANT))
