"""What happens in one conversation while a page shows it: one stream, opened again wherever it was cut.

Nothing is polled. The stream always goes on after the last message that is known, and whoever resumes is told
anew where the messages before it stand (the newest hundred): after a cut the states are right by themselves.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from metachat.escalation.v1.conversation_pb2 import (
    Conversation,
    DeliveryChange,
    Message,
    PersonTyping,
    WatchConversationRequest,
)

from services.common.errors import Kind, ServiceError
from services.console.calls import Calls

_FIRST_PAUSE: Final = 0.3
_LONGEST_PAUSE: Final = 5.0
# What asking again will not change.
_OVER: Final = frozenset({Kind.NOT_FOUND, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.INVALID})

Listener = Callable[[Message | Conversation | PersonTyping | DeliveryChange], None]


class ConversationFeed:
    """Runs from when it is made until `end`."""

    def __init__(
        self, calls: Calls, tenant_id: str, conversation_id: str, *, after: str, listener: Listener
    ) -> None:
        """`after`: the last message that is known already; `listener` is told of everything later."""
        self._calls = calls
        self._tenant_id = tenant_id
        self._conversation_id = conversation_id
        self._listener = listener
        self.task = asyncio.create_task(self._run(after), name="conversation-feed")

    def end(self) -> None:
        """Follow no more."""
        self.task.cancel()

    async def _run(self, cursor: str) -> None:
        pause = _FIRST_PAUSE
        while True:
            request = WatchConversationRequest(
                tenant_id=self._tenant_id, conversation_id=self._conversation_id, after=cursor
            )
            try:
                async for update in self._calls.conversations.WatchConversation(request):
                    cursor, pause = update.cursor or cursor, _FIRST_PAUSE
                    kind = update.WhichOneof("update")
                    if kind is not None:
                        self._listener(getattr(update, kind))
            except ServiceError as error:
                if error.kind in _OVER:
                    return
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter
            pause = min(pause * 2, _LONGEST_PAUSE)
