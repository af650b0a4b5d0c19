"""Deliveries: who may send an outbound message now, and what became of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Protocol

from metachat.escalation.v1 import conversation_pb2
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.clock import Clock
from services.common.errors import invalid_field
from services.common.settings import Secret
from services.escalation.outbox import State, Verdict
from services.escalation.servicers.translation import channel_kind, channel_word, duration
from services.escalation.store import outbox as store
from services.escalation.store.database import Database

DEFAULT_LEASE: Final = timedelta(seconds=60)
_LONGEST_LEASE: Final = timedelta(minutes=15)
_REPORTED: Final = {
    conversation_pb2.ReportDeliveryRequest.SENT: State.SENT,
    conversation_pb2.ReportDeliveryRequest.DELIVERED: State.DELIVERED,
    conversation_pb2.ReportDeliveryRequest.READ: State.READ,
    conversation_pb2.ReportDeliveryRequest.FAILED: State.FAILED,
    conversation_pb2.ReportDeliveryRequest.NOT_SENT: State.QUEUED,
    conversation_pb2.ReportDeliveryRequest.DELIVERY_UNKNOWN: State.DELIVERY_UNKNOWN,
}


class ChannelRecord(Protocol):
    """A channel with its access token."""

    @property
    def account_id(self) -> str: ...

    @property
    def access_token(self) -> Secret: ...

    @property
    def display_name(self) -> str: ...

    @property
    def enabled(self) -> bool: ...


class TenantChannels(Protocol):
    """What a delivery needs of a tenant."""

    def channel(self, kind: str) -> ChannelRecord | None:
        """The tenant's channel of a kind."""


class Directory(Protocol):
    """Where tenants are read."""

    async def get(self, tenant_id: str) -> TenantChannels:
        """The tenant. Raises ServiceError(NOT_FOUND)."""


class Deliveries:
    """Exactly one effect: an outbound message is handed out for sending once, and its state moves forward."""

    def __init__(self, *, database: Database, directory: Directory, clock: Clock) -> None:
        """Takes what it needs."""
        self._database = database
        self._directory = directory
        self._clock = clock

    async def claim(
        self, request: conversation_pb2.ClaimDeliveryRequest
    ) -> conversation_pb2.ClaimDeliveryResponse:
        """Take a message for sending. One that is not there is CANCELLED: there is nothing to send."""
        tenant = await self._directory.get(request.tenant_id)
        lease = DEFAULT_LEASE
        if request.HasField("lease") and request.lease.ToMicroseconds() > 0:
            lease = min(timedelta(microseconds=request.lease.ToMicroseconds()), _LONGEST_LEASE)
        row = await self._database.read(
            lambda connection: store.find(connection, request.tenant_id, outbound_id=request.outbound_id)
        )
        if row is None:
            return conversation_pb2.ClaimDeliveryResponse(
                verdict=conversation_pb2.ClaimDeliveryResponse.CANCELLED, reason="no such outbound message"
            )
        channel = tenant.channel(row["channel"])
        now = self._clock.now()
        answer, attempt = await self._database.write(
            lambda connection: store.claim_row(
                connection,
                request.tenant_id,
                row,
                reachable=channel is not None,
                lease_until=now + lease,
                now=now,
            )
        )
        response = conversation_pb2.ClaimDeliveryResponse(
            verdict=conversation_pb2.ClaimDeliveryResponse.Verdict.Value(str(answer.verdict)),
            attempt=attempt,
            reason=answer.reason,
        )
        if answer.verdict is Verdict.BUSY:
            response.retry_after.CopyFrom(duration(answer.retry_after))
        if answer.verdict is Verdict.SEND and channel is not None:
            response.channel.CopyFrom(
                Channel(
                    tenant_id=request.tenant_id,
                    kind=channel_kind(row["channel"]),
                    account_id=channel.account_id,
                    access_token=channel.access_token.reveal(),
                    access_token_set=bool(channel.access_token),
                    display_name=channel.display_name,
                    enabled=channel.enabled,
                )
            )
        return response

    async def report(
        self, request: conversation_pb2.ReportDeliveryRequest
    ) -> conversation_pb2.ReportDeliveryResponse:
        """Record what became of an attempt, or what the provider says of a message."""
        if not request.outbound_id and not (request.channel and request.provider_message_id):
            raise invalid_field("outbound_id", "is needed, or channel and provider_message_id")
        row = await self._database.read(
            lambda connection: store.find(
                connection,
                request.tenant_id,
                outbound_id=request.outbound_id,
                channel=channel_word(request.channel),
                provider_id=request.provider_message_id,
            )
        )
        if row is None:
            return conversation_pb2.ReportDeliveryResponse(unknown_message=True)
        changed = await self._database.write(
            lambda connection: store.report_row(
                connection,
                request.tenant_id,
                row,
                _REPORTED[request.state],
                attempt=request.attempt,
                now=self._clock.now(),
                provider_id=request.provider_message_id,
                error_code=request.error_code,
                error_detail=request.error_detail,
            )
        )
        return conversation_pb2.ReportDeliveryResponse(changed=changed)
