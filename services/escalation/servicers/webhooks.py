"""WebhookService: requests and answers of outgoing webhooks."""

from __future__ import annotations

from typing import Any, Final

from metachat.escalation.v1 import webhook_pb2, webhook_pb2_grpc

from services.common.errors import invalid_field
from services.escalation.servicers.requests import line, tenant_of
from services.escalation.servicers.translation import timestamp
from services.escalation.store.pages import page_size, page_token, position_of
from services.escalation.webhooks.desk import Order, WebhookDesk

_PAGE: Final = 50


class WebhookServicer(webhook_pb2_grpc.WebhookServiceServicer):
    """See the contract."""

    def __init__(self, desk: WebhookDesk) -> None:
        """The desk does the work."""
        self._desk = desk

    async def PutWebhook(self, request: webhook_pb2.PutWebhookRequest, _context: Any) -> webhook_pb2.Webhook:
        """See the contract."""
        types = [line(type_, f"event_types[{index}]") for index, type_ in enumerate(request.event_types)]
        for index, type_ in enumerate(types):
            if not type_ or "|" in type_:
                raise invalid_field(f"event_types[{index}]", "write a type like human_handoff.requested")
        row, secret = await self._desk.put(
            Order(
                tenant_id=tenant_of(request.tenant_id),
                webhook_id=request.webhook_id,
                url=request.url,
                event_types=tuple(dict.fromkeys(types)),
                enabled=request.enabled if request.HasField("enabled") else True,
                rotate_secret=request.rotate_secret,
            )
        )
        return _webhook(row, secret.reveal() if secret is not None else "")

    async def ListWebhooks(
        self, request: webhook_pb2.ListWebhooksRequest, _context: Any
    ) -> webhook_pb2.ListWebhooksResponse:
        """See the contract."""
        rows = await self._desk.list(tenant_of(request.tenant_id))
        return webhook_pb2.ListWebhooksResponse(webhooks=[_webhook(row) for row in rows])

    async def DeleteWebhook(
        self, request: webhook_pb2.DeleteWebhookRequest, _context: Any
    ) -> webhook_pb2.DeleteWebhookResponse:
        """See the contract."""
        await self._desk.delete(tenant_of(request.tenant_id), line(request.webhook_id, "webhook_id"))
        return webhook_pb2.DeleteWebhookResponse()

    async def TestWebhook(
        self, request: webhook_pb2.TestWebhookRequest, _context: Any
    ) -> webhook_pb2.WebhookDelivery:
        """See the contract."""
        webhook_id = line(request.webhook_id, "webhook_id")
        return _delivery(await self._desk.test(tenant_of(request.tenant_id), webhook_id))

    async def ListWebhookDeliveries(
        self, request: webhook_pb2.ListWebhookDeliveriesRequest, _context: Any
    ) -> webhook_pb2.ListWebhookDeliveriesResponse:
        """See the contract."""
        size = page_size(request.page_size, _PAGE)
        position = position_of(request.page_token, 1)
        rows = await self._desk.deliveries(
            tenant_of(request.tenant_id),
            line(request.webhook_id, "webhook_id"),
            before=position[0] if position else "",
            limit=size + 1,
        )
        return webhook_pb2.ListWebhookDeliveriesResponse(
            deliveries=[_delivery(row) for row in rows[:size]],
            next_page_token=page_token(rows[size - 1]["id"]) if len(rows) > size else "",
        )


def _webhook(row: Any, secret: str = "") -> webhook_pb2.Webhook:
    return webhook_pb2.Webhook(
        id=row["id"],
        tenant_id=row["tenant_id"],
        url=row["url"],
        event_types=row["event_types"],
        enabled=row["enabled"],
        secret=secret,
        created_at=timestamp(row["created_at"]),
        disabled_reason=row["disabled_reason"],
    )


def _delivery(row: Any) -> webhook_pb2.WebhookDelivery:
    return webhook_pb2.WebhookDelivery(
        id=row["id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        attempt=row["attempt"],
        status=row["status"],
        error=row["error"],
        milliseconds=row["milliseconds"],
        created_at=timestamp(row["created_at"]),
        retry_at=timestamp(row["retry_at"]),
    )
