"""EscalationService: the decision as a service, for callers that bring a reply of their own."""

from __future__ import annotations

from typing import Any

from metachat.escalation.v1 import escalation_pb2, escalation_pb2_grpc, policy_pb2

from services.common.errors import invalid_field
from services.common.logs import turn_context
from services.escalation import policy_reading
from services.escalation.policy import TurnFacts, decide
from services.escalation.previews import Previews
from services.escalation.servicers.previews import PreviewRpcs
from services.escalation.servicers.translation import decision_message, outcome_message, storable
from services.escalation.store.identity import new_id
from services.escalation.turn_desk import TurnDesk
from services.escalation.turns.model import Arrival


class EscalationServicer(PreviewRpcs, escalation_pb2_grpc.EscalationServiceServicer):
    """See the contracts."""

    def __init__(self, *, desk: TurnDesk, previews: Previews) -> None:
        """Takes what it translates to."""
        self._desk = desk
        self._previews = previews

    async def Decide(self, request: escalation_pb2.DecideRequest, context: Any) -> policy_pb2.Decision:
        """A score and a policy in, a decision out; nothing is read or recorded."""
        facts = TurnFacts(
            score=request.score if request.HasField("score") else None,
            high_stakes=request.high_stakes,
            urgent=request.urgent,
            customer_request=request.customer_request,
            keyword=request.keyword,
            frustrated=request.frustrated,
            no_reply=request.no_reply,
            unsupported_message=request.unsupported_message,
            held_by_person=request.held_by_person,
        )
        return decision_message(decide(facts, policy_reading.from_proto(request.policy)))

    async def Evaluate(
        self, request: escalation_pb2.EvaluateRequest, context: Any
    ) -> escalation_pb2.EvaluateResponse:
        """Scores a reply, decides by the tenant's policy and records it, once for each request_id."""
        if not request.tenant_id:
            raise invalid_field("tenant_id", "is needed")
        arrival = Arrival(
            tenant_id=request.tenant_id,
            channel="api",
            message_id=request.request_id or new_id(),
            text=storable(request.user_message),
            conversation_id=request.conversation_id,
        )
        request.draft.reply = storable(request.draft.reply)
        with turn_context(tenant=request.tenant_id, message=arrival.message_id):
            outcome = await self._desk.evaluate(
                arrival, request.draft, request.marker_tag, tuple(request.history)
            )
        return escalation_pb2.EvaluateResponse(outcome=outcome_message(outcome))
