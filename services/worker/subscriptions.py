"""Follows the tenants and their channels, and keeps the consumer at their queues."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import grpc
from metachat.escalation.v1.tenant_pb2 import Channel, TenantChange, WatchTenantsRequest

from services.common.errors import Kind, from_rpc_error
from services.common.logs import get_logger
from services.common.queue.port import Consumer, Depth, QueueName
from services.common.queue.topology import Partitions
from services.worker import metrics
from services.worker.switching import Switching

if TYPE_CHECKING:
    from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceAsyncStub

_log = get_logger(__name__)

_KINDS: Final = {Channel.WHATSAPP: "whatsapp", Channel.MESSENGER: "messenger"}
_DIRECTIONS: Final = ("inbound", "outbound")
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


class Subscriptions:
    """Which queues are consumed: two for each channel of each tenant, as tenants come, change and go."""

    def __init__(
        self,
        tenants: TenantServiceAsyncStub,
        consumer: Consumer,
        *,
        warm_up: Callable[[str], Awaitable[None]],
        partitions: Partitions | None = None,
        depths: Callable[[Sequence[QueueName]], Awaitable[Sequence[Depth]]] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`warm_up(provider)` is called for the responder of each tenant that has a channel.

        `depths` is asked only where the number of partitions was changed.
        """
        self._tenants = tenants
        self._consumer = consumer
        self._warm_up = warm_up
        self._partitions = partitions or Partitions()
        self._switching = Switching(consumer, depths) if depths is not None else None
        self._chance = chance
        # Channel → whether it is enabled, by tenant.
        self._channels: dict[str, dict[str, bool]] = {}
        self.connected = False
        self.complete = asyncio.Event()

    def is_enabled(self, tenant_id: str, channel: str) -> bool:
        """Whether the channel's messages are to be answered; one that is not known (any more) is not."""
        return self._channels.get(tenant_id, {}).get(channel, False)

    @property
    def tenant_count(self) -> int:
        """Tenants that are known."""
        return len(self._channels)

    @property
    def queue_count(self) -> int:
        """Queues that are consumed."""
        queues = sum(len(channels) for channels in self._channels.values()) * len(_DIRECTIONS)
        return queues * self._partitions.count

    async def run(self) -> None:
        """Follow until cancelled; reconnects by itself, and goes on consuming what it knows meanwhile."""
        if self._switching is None or not self._partitions.before:
            await self._run()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._switching.run())
            group.create_task(self._run())

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                if await self._follow():
                    pause = _FIRST_PAUSE
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
                # Streams end after a while on purpose.
                if failure.kind is not Kind.DEADLINE:
                    _log.warning("tenants cannot be followed", error=failure.kind.name, detail=failure.detail)
            if self.connected:
                pause = _FIRST_PAUSE
            self.connected = False
            await asyncio.sleep(pause * (0.5 + self._chance()))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _follow(self) -> bool:
        seen: set[str] = set()
        ready = False
        async for change in self._tenants.WatchTenants(WatchTenantsRequest(with_secrets=False)):
            self.connected = True
            if change.ready:
                ready = True
                for tenant_id in set(self._channels) - seen:  # went away while we were not looking
                    await self._set(tenant_id, {})
                    self._channels.pop(tenant_id, None)
                self._say()
                self.complete.set()
                continue
            seen.add(change.tenant.id)
            await self._apply(change)
            if ready:
                self._say()
        return ready

    async def _apply(self, change: TenantChange) -> None:
        tenant_id = change.tenant.id
        if change.deleted:
            await self._set(tenant_id, {})
            self._channels.pop(tenant_id, None)
            return
        channels = {_KINDS[c.kind]: c.enabled for c in change.channels if c.kind in _KINDS}
        if channels and not _has_queues(tenant_id):
            _log.error("the tenant's id makes no queue name: its channels are not served", tenant=tenant_id)
            channels = {}
        await self._set(tenant_id, channels)
        if channels:
            await self._warm_up(change.tenant.settings.llm.provider)

    async def _set(self, tenant_id: str, channels: dict[str, bool]) -> None:
        before = self._channels.get(tenant_id, {})
        self._channels[tenant_id] = channels
        for channel in channels.keys() - before.keys():
            for direction in _DIRECTIONS:
                await self._add(QueueName(tenant_id, channel, direction))
        for channel in before.keys() - channels.keys():
            for direction in _DIRECTIONS:
                await self._remove(QueueName(tenant_id, channel, direction))
        metrics.QUEUES.set(self.queue_count)

    async def _add(self, name: QueueName) -> None:
        old, new = self._partitions.old(name), self._partitions.all(name)
        for queue in old:
            await self._consumer.add(queue)
        if old and self._switching is not None:
            self._switching.hold_back(new, old)
            return
        for queue in new:
            await self._consumer.add(queue)

    async def _remove(self, name: QueueName) -> None:
        old, new = self._partitions.old(name), self._partitions.all(name)
        if self._switching is not None:
            self._switching.forget(new)
        for queue in (*old, *new):
            await self._consumer.remove(queue)

    def _say(self) -> None:
        if not self._channels:
            _log.info("no tenant yet: waiting for one")
        elif not self.queue_count:
            _log.info("no tenant has a channel yet: waiting for one", tenants=self.tenant_count)
        else:
            _log.info("consuming", tenants=self.tenant_count, queues=self.queue_count)


def _has_queues(tenant_id: str) -> bool:
    try:
        QueueName(tenant_id, "whatsapp", "inbound")
    except ValueError:
        return False
    return True
