"""What happens in the conversation that is open: new messages as they come, and whether ours arrived."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from metachat.escalation.v1.conversation_pb2 import (
    ListMessagesRequest,
    Message,
    WatchConversationRequest,
)
from metachat.escalation.v1.handoff_pb2 import HandoffDetails
from nicegui import background_tasks

from services.common.errors import Kind, ServiceError
from services.console.frame import Visit
from services.console.pages.inbox.findings import Findings
from services.console.transcript import Transcript

_FIRST_PAUSE: Final = 0.3
_LONGEST_PAUSE: Final = 5.0
_OVER: Final = frozenset({Kind.NOT_FOUND, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.INVALID})
# Whether a message arrived is looked at often at first, then rarely, then no more.
_LOOKS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 120.0, 300.0, 600.0)
_UNDER_WAY: Final = frozenset({"queued", "sent", "delivered"})


class Following:
    """Runs from when it is made until `end`."""

    def __init__(
        self, visit: Visit, details: HandoffDetails, transcript: Transcript, findings: Findings
    ) -> None:
        """Goes on after the last message of the details."""
        self._visit = visit
        self._conversation_id = details.handoff.conversation_id
        self._transcript = transcript
        self._findings = findings
        self._sent = asyncio.Event()
        self._tasks = [
            background_tasks.create(self._messages(), name="conversation-messages"),
            background_tasks.create(self._deliveries(), name="conversation-deliveries"),
        ]

    def end(self) -> None:
        """Follow no more."""
        for task in self._tasks:
            task.cancel()

    async def _messages(self) -> None:
        cursor = max(self._transcript.messages, default="")
        pause = _FIRST_PAUSE
        while True:
            request = WatchConversationRequest(
                tenant_id=self._visit.tenant_id, conversation_id=self._conversation_id, after=cursor
            )
            try:
                async for update in self._visit.calls.conversations.WatchConversation(request):
                    cursor, pause = update.cursor or cursor, _FIRST_PAUSE
                    if update.HasField("message"):
                        self._came(update.message)
            except ServiceError as error:
                if error.kind in _OVER:
                    return
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _came(self, message: Message) -> None:
        self._transcript.put([message])
        if message.source == Message.CUSTOMER:
            self._findings.outdated()
        elif message.delivery in _UNDER_WAY:
            self._sent.set()

    async def _deliveries(self) -> None:
        while True:
            self._sent.clear()
            for pause in _LOOKS:
                under_way = [
                    each.id for each in self._transcript.messages.values() if each.delivery in _UNDER_WAY
                ]
                if not under_way:
                    break
                try:
                    await asyncio.wait_for(self._sent.wait(), pause)
                    break  # another one was sent: often again
                except TimeoutError:
                    pass
                await self._look(min(under_way))
            else:
                await self._sent.wait()
                continue
            if not self._sent.is_set():
                await self._sent.wait()

    async def _look(self, first: str) -> None:
        before = max((each for each in self._transcript.messages if each < first), default="")
        request = ListMessagesRequest(
            tenant_id=self._visit.tenant_id,
            conversation_id=self._conversation_id,
            after=before,
            page_size=200,
        )
        try:
            found = await self._visit.calls.conversations.ListMessages(request)
        except ServiceError:
            return  # later, or the banner says it
        self._transcript.put(found.messages)
