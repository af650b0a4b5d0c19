"""Shows customers that their message was read and is being answered, beside the turn and never in its way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from metachat.escalation.v1.conversation_pb2 import BeginTurnRequest, BeginTurnResponse
from metachat.escalation.v1.tenant_pb2 import Channel

from services.worker import metrics
from services.worker.channels.port import Sender

# More than that at once, and the provider is slow: showing it late is worse than not at all.
_AT_ONCE: Final = 32


class Typing:
    """Begins and forgets; what fails is counted and nothing else."""

    def __init__(self, senders: Mapping[str, Sender]) -> None:
        """`senders` by channel ("whatsapp")."""
        self._senders = senders
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, request: BeginTurnRequest, answer: BeginTurnResponse) -> None:
        """A draft is being made for this message."""
        channel = answer.draft.channel
        name = Channel.Kind.Name(channel.kind).lower()
        sender = self._senders.get(name)
        if sender is None or not channel.access_token or channel.attention or len(self._tasks) >= _AT_ONCE:
            return
        task = asyncio.create_task(self._show(name, sender, channel, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _show(self, name: str, sender: Sender, channel: Channel, request: BeginTurnRequest) -> None:
        shown = await sender.show_typing(channel, request.contact, request.message_id)
        metrics.TYPING.labels(name, "shown" if shown else "failed").inc()
