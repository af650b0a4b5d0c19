"""From one number of partitions to another: old queues are drained before new ones are begun.

Otherwise the later messages of a conversation, in a new queue, would overtake its earlier ones in an old one.
Old queues stay subscribed: what waits for a retry comes back to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from services.common.logs import get_logger
from services.common.queue.port import Consumer, Depth, QueueName, QueueUnavailable
from services.worker import metrics

_log = get_logger(__name__)

_LOOK_SECONDS: Final = 1.0
# Looks in a row that find the old queues empty: what was just taken is by then recorded as a turn, behind
# which later ones wait.
_LOOKS: Final = 2


class Switching:
    """Holds new queues back until their old ones are empty."""

    def __init__(
        self,
        consumer: Consumer,
        depths: Callable[[Sequence[QueueName]], Awaitable[Sequence[Depth]]],
        *,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        """`look_seconds`: how often is looked whether they are empty."""
        self._consumer = consumer
        self._depths = depths
        self._look_seconds = look_seconds
        self._waiting: dict[tuple[QueueName, ...], tuple[QueueName, ...]] = {}
        self._empty: dict[tuple[QueueName, ...], int] = {}

    def hold_back(self, new: tuple[QueueName, ...], old: tuple[QueueName, ...]) -> None:
        """Consume `new` once `old` are drained."""
        self._waiting[new] = old
        metrics.QUEUES_DRAINING.set(self._draining)

    def forget(self, new: tuple[QueueName, ...]) -> None:
        """They are not wanted any more."""
        self._waiting.pop(new, None)
        self._empty.pop(new, None)
        metrics.QUEUES_DRAINING.set(self._draining)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._look_seconds)
            for new, old in list(self._waiting.items()):
                try:
                    depths = await self._depths(old)
                except QueueUnavailable as error:
                    _log.warning("old queues cannot be looked at", error=str(error))
                    break
                # The broker does not say how many are unacknowledged: ours are counted here.
                held = sum(self._consumer.held(queue) for queue in old)
                waiting = held + sum(depth.ready + (depth.unacked or 0) for depth in depths)
                self._empty[new] = 0 if waiting else self._empty.get(new, 0) + 1
                if self._empty[new] >= _LOOKS and new in self._waiting:
                    self.forget(new)
                    for queue in new:
                        await self._consumer.add(queue)
                    _log.info("the old queues are drained", queue=new[0].whole.queue, partitions=len(new))

    @property
    def _draining(self) -> int:
        return sum(len(old) for old in self._waiting.values())
