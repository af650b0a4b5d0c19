from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact, TurnOutcome
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.errors import Kind, ServiceError
from services.common.queue.port import Envelope, QueueName, Retry
from services.worker.handler import InboundHandler
from services.worker.settling import PutAside


async def given_up(kind: InboundMessage.Kind.ValueType) -> tuple[list[Any], Any]:
    """What FailTurn was called with, and what becomes of the message: after the last of its tries."""
    said: list[Any] = []

    async def fail(request: Any, timeout: float) -> TurnOutcome:  # noqa: ASYNC109 - as called
        said.append(request)
        return TurnOutcome()

    handler = InboundHandler(
        SimpleNamespace(FailTurn=fail),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        max_retries=3,
        visibility_timeout=300,
    )
    message = InboundMessage(
        tenant_id="m",
        channel=Channel.WHATSAPP,
        account_id="1",
        message_id="e",
        contact=Contact(address="49"),
        kind=kind,
        text="I take care of it",
    )
    delivery = SimpleNamespace(
        envelope=Envelope(message.SerializeToString(), message.DESCRIPTOR.full_name, "e", "49"),
        queue=QueueName("m", "whatsapp", "inbound"),
        tries=3,
        history=Retry(3),
    )
    fault = ServiceError(Kind.INTERNAL, "a fault of the worker")
    return said, await handler.failed(delivery, fault)  # type: ignore[arg-type]


async def test_a_customers_message_that_is_given_up_is_handed_to_a_person() -> None:
    said, settlement = await given_up(InboundMessage.TEXT)
    assert [request.text for request in said] == ["I take care of it"]
    assert isinstance(settlement, PutAside)


async def test_a_persons_answer_that_is_given_up_is_not_recorded_as_the_customers_words() -> None:
    said, settlement = await given_up(InboundMessage.ECHO)
    assert said == []
    assert settlement == PutAside("INTERNAL: a fault of the worker")
