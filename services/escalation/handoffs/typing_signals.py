"""Shows customers that the person who has their conversation is typing.

A webchat follows its conversation and sees it there. To a channel it goes out by the queue of its messages,
without an outbox row: it is worth something now or not at all, so nothing is tried again and nobody waits.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.common.queue.port import Envelope, Queue, QueueName, QueueUnavailable
from services.common.queue.topology import Partitions
from services.escalation.handoffs import rules
from services.escalation.handoffs.priority import window_end
from services.escalation.handoffs.waiting_list import Act, no_such_handoff
from services.escalation.servicers.translation import channel_kind, timestamp
from services.escalation.store import conversations, typing
from services.escalation.store import handoffs as store
from services.escalation.store.database import Database
from services.escalation.store.records import SENT_BY_US

# So long a customer sees it who hears nothing more.
LASTS: Final = timedelta(seconds=6)
AGAIN: Final = timedelta(seconds=3)
# Providers show it for 20 s and more: the first of several signals is enough for a while.
_CHANNEL_PAUSE: Final = 10.0
_MOST_REMEMBERED: Final = 10_000
_MOST_AT_ONCE: Final = 32
_PUBLISH_SECONDS: Final = 3.0
_log = get_logger(__name__)

Row = Mapping[Any, Any]


def time_left(typing_at: datetime | None, now: datetime) -> float:
    """Seconds for which somebody who typed then still counts as typing; 0: no longer.

    A moment that is yet to come is one of another machine's clock.
    """
    if typing_at is None:
        return 0.0
    return min(max((typing_at + LASTS - now).total_seconds(), 0.0), LASTS.total_seconds())


class TypingSignals:
    """See the module. Raises ServiceError as `WaitingList.reply` does."""

    def __init__(self, database: Database, queue: Queue, clock: Clock, partitions: Partitions) -> None:
        """The queue and the database are opened by whoever made them."""
        self._database = database
        self._queue = queue
        self._clock = clock
        self._partitions = partitions
        self._shown: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def signal(self, act: Act) -> None:
        """Say that the agent of the act types."""

        def unit(connection: Connection) -> Row:
            row = store.find_handoff(connection, act.tenant_id, act.handoff_id)
            if row is None:
                raise no_such_handoff()
            rules.reply(store.state_of(row), act.agent)
            typing.types(connection, row["conversation_id"], self._clock.now())
            return row

        row = await self._database.write(unit)
        if row["channel"] in SENT_BY_US and self._is_due(row["conversation_id"]):
            task = asyncio.create_task(self._publish(row), name="typing-signal")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_due(self, conversation_id: str) -> bool:
        now = self._clock.monotonic()
        if now < self._shown.get(conversation_id, float("-inf")) + _CHANNEL_PAUSE:
            return False
        if len(self._tasks) >= _MOST_AT_ONCE:
            return False
        if len(self._shown) >= _MOST_REMEMBERED:
            self._shown.clear()
        self._shown[conversation_id] = now
        return True

    async def _publish(self, row: Row) -> None:
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                message = await self._database.read(lambda connection: self._message(connection, row))
                if message is None:
                    return
                whole = QueueName(row["tenant_id"], row["channel"], "outbound")
                await self._queue.publish(
                    self._partitions.of(whole, row["conversation_id"]),
                    Envelope(
                        body=message.SerializeToString(),
                        type=OutboundMessage.DESCRIPTOR.full_name,
                        message_id=message.outbound_id,
                        ordering_key=row["conversation_id"],
                    ),
                )
        except (QueueUnavailable, ServiceError, TimeoutError, ValueError) as error:
            _log.info(
                "typing is not shown",
                tenant=row["tenant_id"],
                conversation=row["conversation_id"],
                error=str(error) or type(error).__name__,
            )

    def _message(self, connection: Connection, row: Row) -> OutboundMessage | None:
        now = self._clock.now()
        window = window_end(row["channel"], row["last_customer_message_at"])
        conversation = conversations.get(connection, row["conversation_id"])
        last = typing.last_inbound(connection, row["conversation_id"])
        if conversation is None or not last or (window is not None and now >= window):
            return None
        return OutboundMessage(
            outbound_id=secrets.token_hex(16),
            tenant_id=row["tenant_id"],
            channel=channel_kind(row["channel"]),
            account_id=conversation["account_id"],
            contact=Contact(
                address=conversation["contact_address"] or "",
                user_id=conversation["contact_user_id"] or "",
            ),
            conversation_id=row["conversation_id"],
            kind=OutboundMessage.HUMAN_REPLY,
            text="…",
            reply_to=last,
            created_at=timestamp(now),
            typing=True,
        )
