"""PrivacyService: translates between the contract and `privacy.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from metachat.escalation.v1 import privacy_pb2, privacy_pb2_grpc

from services.escalation.privacy import Privacy
from services.escalation.servicers.requests import line, tenant_of
from services.escalation.servicers.translation import conversation_message, message_message


class PrivacyServicer(privacy_pb2_grpc.PrivacyServiceServicer):
    """See the contract."""

    def __init__(self, privacy: Privacy) -> None:
        """Takes the use case."""
        self._privacy = privacy

    async def ExportCustomer(
        self, request: privacy_pb2.ExportCustomerRequest, _context: Any
    ) -> AsyncIterator[privacy_pb2.ExportedConversation]:
        """See the contract."""
        async for conversation, messages in self._privacy.export(
            tenant_of(request.tenant_id), request.address, line(request.channel, "channel").lower()
        ):
            yield privacy_pb2.ExportedConversation(
                conversation=conversation_message(conversation),
                messages=[message_message(message) for message in messages],
            )

    async def EraseCustomer(
        self, request: privacy_pb2.EraseCustomerRequest, _context: Any
    ) -> privacy_pb2.EraseCustomerResponse:
        """See the contract."""
        erased = await self._privacy.erase(
            tenant_of(request.tenant_id), request.address, line(request.channel, "channel").lower()
        )
        return privacy_pb2.EraseCustomerResponse(
            conversations=erased.conversations, messages=erased.messages, events=erased.events
        )
