"""Deliveries: who may send an outbound message now, what became of it, and what people make of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from metachat.escalation.v1 import conversation_pb2

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, invalid_field
from services.escalation.accounts.change_log import Actor, current_actor
from services.escalation.channels.health import ChannelHealth
from services.escalation.outbox import Finding, State, Verdict, of_unknown_attempt
from services.escalation.servicers.tenants import channel_message
from services.escalation.servicers.translation import channel_word, delivery_message, duration, moment
from services.escalation.store import deliveries, request_log
from services.escalation.store import outbox as store
from services.escalation.store.database import Database
from services.escalation.store.pages import page_size, page_token, position_of
from services.escalation.store.watermarks import move_up_to

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.escalation.tenants.directory import ChannelRecord

DEFAULT_LEASE: Final = timedelta(seconds=60)
_LONGEST_LEASE: Final = timedelta(minutes=15)
_PAGE: Final = 50
_REPORTED: Final = {
    conversation_pb2.ReportDeliveryRequest.SENT: State.SENT,
    conversation_pb2.ReportDeliveryRequest.DELIVERED: State.DELIVERED,
    conversation_pb2.ReportDeliveryRequest.READ: State.READ,
    conversation_pb2.ReportDeliveryRequest.FAILED: State.FAILED,
    conversation_pb2.ReportDeliveryRequest.NOT_SENT: State.QUEUED,
    conversation_pb2.ReportDeliveryRequest.DELIVERY_UNKNOWN: State.DELIVERY_UNKNOWN,
}
_SAID_BY_PROVIDERS: Final = frozenset({State.SENT, State.DELIVERED, State.READ, State.FAILED})
# Between our id and the number of a part, in what a provider brings back; the last part carries the bare id.
_PART: Final = "/"


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

    def __init__(
        self, *, database: Database, directory: Directory, clock: Clock, health: ChannelHealth
    ) -> None:
        """Takes what it needs."""
        self._database = database
        self._directory = directory
        self._clock = clock
        self._health = health

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
                troubled_since=channel.attention_since if channel is not None else None,
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
            response.channel.CopyFrom(channel_message(channel, with_secrets=True))
        return response

    async def report(
        self, request: conversation_pb2.ReportDeliveryRequest
    ) -> conversation_pb2.ReportDeliveryResponse:
        """Record what became of an attempt, or what the provider says of a message."""
        if request.HasField("watermark"):
            return await self._move_up_to(request)
        if not request.outbound_id and not (request.channel and request.provider_message_id):
            raise invalid_field("outbound_id", "is needed, or channel and provider_message_id")
        outbound_id, _, part = request.outbound_id.partition(_PART)
        channel, reported = channel_word(request.channel), _REPORTED[request.state]
        provider_id = "" if part else request.provider_message_id
        row = await self._database.read(
            lambda connection: store.find(
                connection,
                request.tenant_id,
                outbound_id=outbound_id,
                channel=channel,
                provider_id=provider_id,
            )
        )
        if row is None:
            if not outbound_id and not request.attempt and reported in _SAID_BY_PROVIDERS:
                await self._keep_early(request, channel, reported)
            return conversation_pb2.ReportDeliveryResponse(unknown_message=True)
        known = row["provider_message_id"]
        if provider_id and of_unknown_attempt(
            store.outbound(row), reported, request.attempt, provider_id=known
        ):
            await self._keep_early(request, row["channel"], reported)
            return conversation_pb2.ReportDeliveryResponse()
        if part and reported is not State.FAILED:
            # The message is where its last part is.
            return conversation_pb2.ReportDeliveryResponse()
        changed = await self._database.write(
            lambda connection: deliveries.report_attempt(
                connection,
                request.tenant_id,
                row,
                reported,
                attempt=request.attempt,
                now=self._clock.now(),
                provider_id=provider_id,
                error_code=request.error_code,
                error_detail=request.error_detail,
                called_at=moment(request, "occurred_at") if request.attempt else None,
            )
        )
        if request.attempt and request.attention:
            await self._health.mark(
                request.tenant_id, row["channel"], request.attention, request.error_detail
            )
        elif request.attempt and reported is State.SENT:
            await self._health.clear(request.tenant_id, row["channel"])
        return conversation_pb2.ReportDeliveryResponse(changed=changed)

    async def _move_up_to(
        self, request: conversation_pb2.ReportDeliveryRequest
    ) -> conversation_pb2.ReportDeliveryResponse:
        until, state = moment(request, "watermark"), _REPORTED[request.state]
        if until is None or state not in (State.DELIVERED, State.READ):
            raise invalid_field("watermark", "goes with DELIVERED and READ, and is a moment")
        if not request.channel:
            raise invalid_field("channel", "is needed with a watermark")
        moved = await self._database.write(
            lambda connection: move_up_to(
                connection,
                request.tenant_id,
                channel=channel_word(request.channel),
                account_id=request.account_id,
                address=request.contact.address,
                user_id=request.contact.user_id,
                state=state,
                until=until,
                now=self._clock.now(),
            )
        )
        return conversation_pb2.ReportDeliveryResponse(changed=moved > 0)

    async def _keep_early(
        self, request: conversation_pb2.ReportDeliveryRequest, channel: str, reported: State
    ) -> None:
        await self._database.write(
            lambda connection: deliveries.keep_early(
                connection,
                request.tenant_id,
                channel=channel,
                provider_id=request.provider_message_id,
                state=reported,
                error_code=request.error_code,
                error_detail=request.error_detail,
                now=self._clock.now(),
            )
        )

    async def list(
        self, request: conversation_pb2.ListDeliveriesRequest
    ) -> conversation_pb2.ListDeliveriesResponse:
        """A tenant's outbound messages, the newest first. Raises ServiceError(NOT_FOUND)."""
        await self._directory.get(_tenant(request.tenant_id))
        position = position_of(request.page_token, 1)
        limit = page_size(request.page_size, _PAGE)
        rows = await self._database.read(
            lambda connection: deliveries.page(
                connection,
                request.tenant_id,
                states=[
                    conversation_pb2.OutboundDelivery.State.Name(state).lower() for state in request.states
                ],
                conversation_id=request.conversation_id,
                channel=channel_word(request.channel),
                before=position[0] if position else "",
                limit=limit + 1,
            )
        )
        return conversation_pb2.ListDeliveriesResponse(
            deliveries=[delivery_message(row) for row in rows[:limit]],
            next_page_token=page_token(rows[limit - 1]["id"]) if len(rows) > limit else "",
        )

    async def settle(
        self, request: conversation_pb2.SettleDeliveryRequest
    ) -> conversation_pb2.OutboundDelivery:
        """Record what a person found out. Raises ServiceError: NOT_FOUND, NOT_READY where it is known."""
        await self._directory.get(_tenant(request.tenant_id))
        finding = Finding(conversation_pb2.SettleDeliveryRequest.Finding.Name(request.finding))
        who = _name(current_actor())

        def unit(connection: Connection) -> conversation_pb2.OutboundDelivery:
            now = self._clock.now()
            log = {
                "tenant_id": request.tenant_id,
                "rpc": "SettleDelivery",
                "request_id": request.request_id,
            }
            answer = conversation_pb2.OutboundDelivery
            if (done := request_log.answered(connection, answer, **log)) is not None:
                if done.outbound_id != request.outbound_id:
                    raise ServiceError(
                        Kind.CONFLICT,
                        f"the request id {request.request_id!r} stands for another request already",
                        reason="REQUEST_ID_REUSED",
                    )
                return done
            row = store.find(connection, request.tenant_id, outbound_id=request.outbound_id)
            if row is None:
                raise ServiceError(
                    Kind.NOT_FOUND, "there is no such outbound message", reason="DELIVERY_NOT_FOUND"
                )
            settled = delivery_message(
                deliveries.settle_row(connection, request.tenant_id, row, finding, who=who, now=now)
            )
            request_log.record(connection, settled, now=now, **log)
            return settled

        return await self._database.write(unit)


def _tenant(tenant_id: str) -> str:
    if not tenant_id:
        raise invalid_field("tenant_id", "must name the tenant")
    return tenant_id


def _name(actor: Actor) -> str:
    return actor.user_id or actor.key_id or actor.subject
