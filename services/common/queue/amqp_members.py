"""Who else consumes: workers tell each other that they live, so that each knows its share of the queues.

Only a hint: which consumer of a queue is active is the broker's decision alone, and order rests on that.
RabbitMQ makes the first one that came active on every queue; without this, the first worker would do all the
work and the others stand by.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
import zlib

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from services.common.logs import get_logger
from services.common.queue.amqp_link import DRIVER_ERRORS, Link, describe
from services.common.queue.topology import WORKERS, QueueName

_log = get_logger(__name__)

GROUPS = 16
_BEAT_SECONDS = 2.0
_ALIVE_SECONDS = 9.0


def group_of(name: QueueName) -> int:
    """Queues are shared out in groups; partitions of one queue belong to different ones."""
    return (zlib.crc32(name.whole.queue.encode()) + (name.partition or 0)) % GROUPS


def owner_of(group: int, members: list[str]) -> str:
    """Whose a group is, by the same rule everywhere."""
    return sorted(members)[group % len(members)]


class Members:
    """One consumer's view of all of them; `run` until cancelled."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.identity = uuid.uuid4().hex
        self._seen: dict[str, float] = {}

    def owns(self, group: int) -> bool:
        """Whether the group is this consumer's share."""
        now = time.monotonic()
        alive = [member for member, until in self._seen.items() if until > now]
        return owner_of(group, [self.identity, *alive]) == self.identity

    @property
    def others(self) -> int:
        now = time.monotonic()
        return sum(until > now for until in self._seen.values())

    async def run(self) -> None:
        while True:
            session = await self._link.wait()
            try:
                channel = await session.channel()
                await self._attend(channel)
            except DRIVER_ERRORS as failure:
                _log.debug("queue_members_failed", error=describe(failure))
            await asyncio.sleep(_BEAT_SECONDS)

    async def _attend(self, channel: AbstractChannel) -> None:
        try:
            await channel.exchange_declare(WORKERS, exchange_type="fanout", durable=True)
            mine = await channel.queue_declare(exclusive=True, auto_delete=True)
            await channel.queue_bind(mine.queue or "", WORKERS)
            await channel.basic_consume(mine.queue or "", self._heard, no_ack=True)
            while not channel.is_closed:
                await self._say(channel, "here")
                await asyncio.sleep(_BEAT_SECONDS)
        except asyncio.CancelledError:
            with contextlib.suppress(*DRIVER_ERRORS):
                async with asyncio.timeout(1):
                    await self._say(channel, "gone")
                    await channel.close()
            raise

    async def _say(self, channel: AbstractChannel, word: str) -> None:
        properties = Basic.Properties(message_id=self.identity, message_type=word)
        await channel.basic_publish(b"", exchange=WORKERS, properties=properties)

    async def _heard(self, message: DeliveredMessage) -> None:
        member = message.header.properties.message_id or ""
        if not member or member == self.identity:
            return
        if message.header.properties.message_type == "gone":
            self._seen.pop(member, None)
        else:
            self._seen[member] = time.monotonic() + _ALIVE_SECONDS
        if len(self._seen) > 1000:
            self._seen.clear()
