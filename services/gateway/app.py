"""The gateway's HTTP application: its own pages, the webhooks, and the REST door behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from google.protobuf.descriptor import ServiceDescriptor
from metachat.chat.v1 import chat_pb2
from metachat.confidence.v1 import confidence_pb2
from metachat.escalation.v1 import (
    conversation_pb2,
    escalation_pb2,
    handoff_pb2,
    insight_pb2,
    knowledge_pb2,
    privacy_pb2,
    queue_pb2,
    tenant_pb2,
    user_pb2,
    webhook_pb2,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from services.common.errors import Kind, ServiceError
from services.gateway.health import HealthPages
from services.gateway.http import Receive, Scope, Send, respond_error
from services.gateway.middleware import RequestScope
from services.gateway.openapi import OpenApiPage
from services.gateway.rest import RestDoor
from services.gateway.webhooks.endpoint import Webhook
from services.gateway.widget.pages import WidgetPages

CHAT: ServiceDescriptor = chat_pb2.DESCRIPTOR.services_by_name["ChatService"]
CONFIDENCE: ServiceDescriptor = confidence_pb2.DESCRIPTOR.services_by_name["ConfidenceService"]
# Served by escalation, which looks at the caller's own token.
ESCALATION: tuple[ServiceDescriptor, ...] = (
    escalation_pb2.DESCRIPTOR.services_by_name["EscalationService"],
    conversation_pb2.DESCRIPTOR.services_by_name["ConversationService"],
    tenant_pb2.DESCRIPTOR.services_by_name["TenantService"],
    handoff_pb2.DESCRIPTOR.services_by_name["HandoffService"],
    knowledge_pb2.DESCRIPTOR.services_by_name["KnowledgeService"],
    insight_pb2.DESCRIPTOR.services_by_name["InsightService"],
    user_pb2.DESCRIPTOR.services_by_name["UserService"],
    privacy_pb2.DESCRIPTOR.services_by_name["PrivacyService"],
    webhook_pb2.DESCRIPTOR.services_by_name["WebhookService"],
    queue_pb2.DESCRIPTOR.services_by_name["QueueService"],
)
SERVICES = (CHAT, CONFIDENCE, *ESCALATION)

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    *,
    rest: RestDoor,
    health: HealthPages,
    openapi: OpenApiPage,
    webhooks: Mapping[str, Webhook],
    widget: WidgetPages,
) -> RequestScope:
    """The whole ASGI application; `webhooks` by the last part of their address."""
    pages: dict[str, dict[str, Endpoint]] = {
        "/health": {"GET": health.live},
        "/ready": {"GET": health.ready},
        "/metrics": {"GET": health.metrics},
        "/openapi.json": {"GET": openapi.get},
        **widget.endpoints(),
    }
    for name, webhook in webhooks.items():
        pages[f"/webhooks/{name}"] = {"GET": webhook.verify, "POST": webhook.receive}
    routes = [Route(path, Page(endpoints)) for path, endpoints in pages.items()]
    return RequestScope(Starlette(routes=[*routes, Mount("", app=rest)]))


class Page:
    """One address of the gateway's own; errors and a wrong method are answered as everywhere else."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        """Takes the function of each method."""
        self._endpoints = dict(endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP call."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        endpoint = self._endpoints.get(method)
        if endpoint is None:
            error = ServiceError(
                Kind.UNIMPLEMENTED, f"{method} is not offered here", reason="METHOD_NOT_ALLOWED"
            )
            allow = ", ".join(self._endpoints).encode()
            await respond_error(send, error, status=405, headers=[(b"allow", allow)])
            return
        try:
            response = await endpoint(Request(scope, receive))
        except ServiceError as error:
            await respond_error(send, error)
        else:
            await response(scope, receive, send)
