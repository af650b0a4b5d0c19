"""A message of which nobody knows whether it arrived: a person looks, and says what they found."""

from __future__ import annotations

import secrets
from typing import Final

from metachat.escalation.v1.conversation_pb2 import (
    ListDeliveriesRequest,
    OutboundDelivery,
    SettleDeliveryRequest,
)

from services.console.visit import Visit

FINDINGS: Final = ("ARRIVED", "NOT_ARRIVED", "SEND_AGAIN")
_PAGE: Final = 500


async def settle(visit: Visit, outbound_id: str, finding: str) -> OutboundDelivery:
    """Record one of the FINDINGS; the delivery as it is then. Raises ServiceError."""
    settled: OutboundDelivery = await visit.calls.conversations.SettleDelivery(
        SettleDeliveryRequest(
            tenant_id=visit.tenant_id,
            outbound_id=outbound_id,
            finding=SettleDeliveryRequest.Finding.Value(finding),
            request_id=secrets.token_hex(16),
        )
    )
    return settled


async def settle_message(
    visit: Visit, conversation_id: str, message_id: str, finding: str
) -> OutboundDelivery | None:
    """The same of a message; None where nothing was recorded.

    An error is said in words, and so is that somebody or the provider was faster.
    """
    request = ListDeliveriesRequest(
        tenant_id=visit.tenant_id,
        conversation_id=conversation_id,
        states=[OutboundDelivery.DELIVERY_UNKNOWN],
        page_size=_PAGE,
    )
    settled = None
    with visit.reporting():
        found = await visit.calls.conversations.ListDeliveries(request)
        outbound = next((each for each in found.deliveries if each.message_id == message_id), None)
        if outbound is None:
            visit.notify(visit.texts("errors.delivery_known"), "info")
        else:
            settled = await settle(visit, outbound.outbound_id, finding)
            visit.notify(visit.texts("deliveries.settled"))
    return settled
