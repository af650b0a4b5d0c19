"""The RPCs that pages make: as the person who is signed in, with a deadline, refused as the contract says.

What a person may call is what an API key of their role may call: the rule that stands in the proto decides
(`services.common.access`), and the tenant of the page is bound to each request, so that a page cannot ask for
another tenant even by mistake.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from metachat.chat.v1 import chat_pb2, chat_pb2_grpc
from metachat.escalation.v1 import (
    conversation_pb2,
    conversation_pb2_grpc,
    escalation_pb2,
    escalation_pb2_grpc,
    handoff_pb2,
    handoff_pb2_grpc,
    insight_pb2,
    insight_pb2_grpc,
    knowledge_pb2,
    knowledge_pb2_grpc,
    privacy_pb2,
    privacy_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
    tenant_pb2,
    tenant_pb2_grpc,
    user_pb2,
    user_pb2_grpc,
    webhook_pb2,
    webhook_pb2_grpc,
)

from services.common.access import ACTING_USER, AccessRule, rules_of
from services.common.caller import Caller
from services.common.errors import from_rpc_error
from services.common.settings import Secret
from services.console.session import Actor, Role

CALL_SECONDS: Final = 8.0
CHAT_SECONDS: Final = 40.0

_SCOPES: Final = {
    Role.AGENT: frozenset({"AGENT"}),
    Role.ADMIN: frozenset({"ADMIN"}),
    Role.OPERATOR: frozenset({"OPERATOR"}),
}


class ServiceCalls:
    """The RPCs of one service, by their names: `await calls.GetTenant(request)`.

    A unary call gives its answer, a server stream an async iterator that ends the call when it is closed.
    Both raise ServiceError. `timeout=` in seconds overrides the deadline.
    """

    def __init__(
        self,
        stub: Any,
        rules: dict[str, tuple[AccessRule, bool]],
        caller: Caller,
        bearer: _Bearer,
        seconds: float,
    ) -> None:
        """`rules`: of each RPC its rule and whether it streams."""
        self._stub = stub
        self._rules = rules
        self._caller = caller
        self._bearer = bearer
        self._seconds = seconds

    def __getattr__(self, name: str) -> Callable[..., Any]:
        try:
            rule, streams = self._rules[name]
        except KeyError:
            raise AttributeError(name) from None
        call = getattr(self._stub, name)
        return self._stream(call, rule) if streams else self._unary(call, rule)

    def _unary(self, call: Any, rule: AccessRule) -> Callable[..., Any]:
        async def unary(
            request: Message,
            *,
            timeout: float | None = None,  # noqa: ASYNC109 - gRPC's own
        ) -> Any:
            self._bearer.check()
            rule.admit(self._caller)
            rule.bind_tenant(request, self._caller)
            try:
                return await call(request, timeout=timeout or self._seconds, metadata=self._bearer.metadata)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from error

        return unary

    def _stream(self, call: Any, rule: AccessRule) -> Callable[..., Any]:
        async def stream(
            request: Message,
            *,
            timeout: float | None = None,  # noqa: ASYNC109 - gRPC's own
        ) -> AsyncIterator[Any]:
            self._bearer.check()
            rule.admit(self._caller)
            rule.bind_tenant(request, self._caller)
            options = {"timeout": timeout} if timeout else {}
            answers = call(request, metadata=self._bearer.metadata, **options)
            try:
                async for answer in answers:
                    yield answer
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from error
            finally:
                answers.cancel()

        return stream


@dataclass(frozen=True, slots=True)
class _Bearer:
    """With which metadata a person's calls go out, while their session lasts."""

    metadata: Sequence[tuple[str, str]]
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Calls:
    """All services that pages use."""

    tenants: ServiceCalls
    conversations: ServiceCalls
    handoffs: ServiceCalls
    insights: ServiceCalls
    knowledge: ServiceCalls
    users: ServiceCalls
    webhooks: ServiceCalls
    queues: ServiceCalls
    privacy: ServiceCalls
    escalation: ServiceCalls
    chat: ServiceCalls


_SERVICES: Final[dict[str, tuple[ServiceDescriptor, Callable[[Any], Any]]]] = {
    "tenants": (tenant_pb2.DESCRIPTOR.services_by_name["TenantService"], tenant_pb2_grpc.TenantServiceStub),
    "conversations": (
        conversation_pb2.DESCRIPTOR.services_by_name["ConversationService"],
        conversation_pb2_grpc.ConversationServiceStub,
    ),
    "handoffs": (
        handoff_pb2.DESCRIPTOR.services_by_name["HandoffService"],
        handoff_pb2_grpc.HandoffServiceStub,
    ),
    "insights": (
        insight_pb2.DESCRIPTOR.services_by_name["InsightService"],
        insight_pb2_grpc.InsightServiceStub,
    ),
    "knowledge": (
        knowledge_pb2.DESCRIPTOR.services_by_name["KnowledgeService"],
        knowledge_pb2_grpc.KnowledgeServiceStub,
    ),
    "users": (user_pb2.DESCRIPTOR.services_by_name["UserService"], user_pb2_grpc.UserServiceStub),
    "webhooks": (
        webhook_pb2.DESCRIPTOR.services_by_name["WebhookService"],
        webhook_pb2_grpc.WebhookServiceStub,
    ),
    "queues": (queue_pb2.DESCRIPTOR.services_by_name["QueueService"], queue_pb2_grpc.QueueServiceStub),
    "privacy": (
        privacy_pb2.DESCRIPTOR.services_by_name["PrivacyService"],
        privacy_pb2_grpc.PrivacyServiceStub,
    ),
    "escalation": (
        escalation_pb2.DESCRIPTOR.services_by_name["EscalationService"],
        escalation_pb2_grpc.EscalationServiceStub,
    ),
    "chat": (chat_pb2.DESCRIPTOR.services_by_name["ChatService"], chat_pb2_grpc.ChatServiceStub),
}


class CallDesk:
    """Makes the calls of each person from the channels of the process."""

    def __init__(
        self, escalation: grpc.aio.Channel, gateway: grpc.aio.Channel, *, internal: Secret, operator: Secret
    ) -> None:
        """`escalation` and `gateway`: channels without a token of their own."""
        self._internal = internal
        self._operator = operator
        self._parts: dict[str, tuple[Any, dict[str, tuple[AccessRule, bool]], float]] = {}
        for name, (descriptor, stub) in _SERVICES.items():
            rules = rules_of(descriptor)
            streams = {method.name: method.server_streaming for method in descriptor.methods}
            chat = name == "chat"
            self._parts[name] = (
                stub(gateway if chat else escalation),
                {method: (rule, streams[method]) for method, rule in rules.items()},
                CHAT_SECONDS if chat else CALL_SECONDS,
            )

    def of(self, actor: Actor, tenant_id: str, check: Callable[[], None]) -> Calls:
        """The calls of `actor` on a page of `tenant_id` (empty: of no tenant).

        `check` is asked before each call and raises ServiceError(UNAUTHENTICATED) once the session is over.
        """
        caller = Caller(
            subject=actor.name,
            scopes=_SCOPES[actor.role],
            tenant_id=tenant_id or (None if actor.role is Role.OPERATOR else actor.tenant_id),
        )
        return self._calls(caller, _Bearer(self._metadata(actor), check))

    def of_console(self) -> Calls:
        """The console's own calls, as a service of the installation."""
        caller = Caller(subject="console", scopes=frozenset({"INTERNAL"}), tenant_id=None)
        metadata = [("authorization", f"Bearer {self._internal.reveal()}")]
        return self._calls(caller, _Bearer(metadata, lambda: None))

    def _calls(self, caller: Caller, bearer: _Bearer) -> Calls:
        return Calls(
            **{
                name: ServiceCalls(stub, rules, caller, bearer, seconds)
                for name, (stub, rules, seconds) in self._parts.items()
            }
        )

    def _metadata(self, actor: Actor) -> list[tuple[str, str]]:
        if actor.role is Role.OPERATOR:
            return [("authorization", f"Bearer {self._operator.reveal()}")]
        if actor.key:
            return [("authorization", f"Bearer {actor.key}")]
        return [("authorization", f"Bearer {self._internal.reveal()}"), (ACTING_USER, actor.user_id)]
