"""What becomes of one message that is sent, with everything around it scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.conversation_pb2 import (
    ClaimDeliveryResponse,
    Contact,
    ReportDeliveryRequest,
    ReportDeliveryResponse,
)
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.queue.port import Envelope, QueueName, Retry
from services.worker.channels.pace import paces
from services.worker.channels.port import Sent
from services.worker.delivery import OutboundHandler
from services.worker.settling import Settlement


class Provider:
    """Takes every part, each in its time."""

    def __init__(self, seconds: float) -> None:
        self.taken: list[int] = []
        self._seconds = seconds

    def parts(self, text: str) -> list[str]:
        return text.split()

    async def send(self, message: Any, channel: Any, part: Any) -> Sent:
        self.taken.append(part.number)
        await asyncio.sleep(self._seconds)
        return Sent(f"wamid.{part.number}")


Report = Callable[[ReportDeliveryRequest], Awaitable[None]]


async def send(provider: Provider, report: Report, *, attempt: float) -> Settlement:
    """Send a message of four parts; `attempt` in seconds."""

    async def claim(request: Any, timeout: float) -> ClaimDeliveryResponse:  # noqa: ASYNC109 - as called
        return ClaimDeliveryResponse(verdict=ClaimDeliveryResponse.SEND, attempt=1)

    async def take_report(request: ReportDeliveryRequest, timeout: float) -> ReportDeliveryResponse:  # noqa: ASYNC109 - as called
        await report(request)
        return ReportDeliveryResponse(changed=True)

    handler = OutboundHandler(
        SimpleNamespace(ClaimDelivery=claim, ReportDelivery=take_report),  # type: ignore[arg-type]
        {"whatsapp": provider},  # type: ignore[dict-item]
        max_retries=3,
        visibility_timeout=attempt / 0.6,
        paces=paces({"whatsapp": 80}),
    )
    message = OutboundMessage(
        outbound_id="o",
        tenant_id="m",
        channel=Channel.WHATSAPP,
        account_id="1",
        contact=Contact(address="49"),
        kind=OutboundMessage.REPLY,
        text="one two three four",
    )
    delivery = SimpleNamespace(
        envelope=Envelope(message.SerializeToString(), message.DESCRIPTOR.full_name, "o", "c"),
        queue=QueueName("m", "whatsapp", "outbound"),
        tries=0,
        history=Retry(),
        recorded=lambda: None,
    )
    return await handler.handle(delivery)  # type: ignore[arg-type]


async def test_no_part_is_begun_after_the_claim_may_be_over() -> None:
    provider, reports = Provider(0.4), []

    async def report(request: ReportDeliveryRequest) -> None:
        reports.append(request)

    await send(provider, report, attempt=0.3)
    assert provider.taken == [0]
    assert reports[0].state == ReportDeliveryRequest.FAILED
    assert reports[0].error_code == "partly_sent"
    assert "1 of 4 parts" in reports[0].error_detail


async def test_a_result_that_is_known_is_said_once_more_when_the_worker_ends() -> None:
    provider, reports = Provider(0.0), []
    said = asyncio.Event()

    async def report(request: ReportDeliveryRequest) -> None:
        reports.append(request)
        if not said.is_set():
            said.set()
            await asyncio.Event().wait()  # escalation ends as well, in the middle of this

    sending = asyncio.create_task(send(provider, report, attempt=60))
    await asyncio.wait_for(said.wait(), 20)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert [request.state for request in reports] == [ReportDeliveryRequest.SENT] * 2
    assert reports[1].provider_message_id == "wamid.3"
