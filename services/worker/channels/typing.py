"""Shows customers that they are being answered, by the assistant or by a person: beside turns and deliveries,
never in their way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Final

import grpc
from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.conversation_pb2 import BeginTurnRequest, BeginTurnResponse, Contact
from metachat.escalation.v1.tenant_pb2 import Channel, ResolveChannelRequest

from services.worker import metrics
from services.worker.channels.port import Sender

if TYPE_CHECKING:
    from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceAsyncStub

# More than that at once, and the provider is slow: showing it late is worse than not at all.
_AT_ONCE: Final = 32
# That a person typed longer ago is no news: they may have stopped, or their message is out.
_FRESH_SECONDS: Final = 10.0
_CALL: Final = 3.0


class Typing:
    """Begins and forgets; what fails is counted and nothing else."""

    def __init__(
        self,
        senders: Mapping[str, Sender],
        tenants: TenantServiceAsyncStub,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`senders` by channel ("whatsapp"); `tenants` knows the channel that a person answers on."""
        self._senders = senders
        self._tenants = tenants
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, request: BeginTurnRequest, answer: BeginTurnResponse) -> None:
        """A draft is being made for this message."""
        if len(self._tasks) < _AT_ONCE:
            self._start(self._show(answer.draft.channel, request.contact, request.message_id))

    def person(self, message: OutboundMessage) -> bool:
        """A person is writing to this contact; whether that is worth showing still."""
        fresh = abs(self._now() - message.created_at.ToMicroseconds() / 1e6) <= _FRESH_SECONDS
        if not fresh or len(self._tasks) >= _AT_ONCE:
            return False
        self._start(self._show_person(message))
        return True

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, showing: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(showing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _show_person(self, message: OutboundMessage) -> None:
        asked = ResolveChannelRequest(kind=message.channel, account_id=message.account_id)
        try:
            channel = await self._tenants.ResolveChannel(asked, timeout=_CALL)
        except grpc.aio.AioRpcError:
            metrics.TYPING.labels(Channel.Kind.Name(message.channel).lower(), "failed").inc()
            return
        if channel.tenant_id == message.tenant_id and channel.enabled:
            await self._show(channel, message.contact, message.reply_to)

    async def _show(self, channel: Channel, contact: Contact, message_id: str) -> None:
        name = Channel.Kind.Name(channel.kind).lower()
        sender = self._senders.get(name)
        if sender is None or not channel.access_token or channel.attention:
            return
        shown = await sender.show_typing(channel, contact, message_id)
        metrics.TYPING.labels(name, "shown" if shown else "failed").inc()
