"""Finds the tenant of what came in and puts it into the tenant's queue."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage
from metachat.escalation.v1.tenant_pb2 import Channel, ResolveChannelRequest
from prometheus_client import Counter

from services.common import metrics, validation
from services.common.clock import Clock
from services.common.errors import Kind, from_rpc_error
from services.common.logs import get_logger
from services.common.queue.port import Envelope, Queue, QueueName
from services.common.queue.topology import Partitions, fitting_id
from services.common.telemetry import inject
from services.gateway.webhooks.parsed import Item

if TYPE_CHECKING:
    from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceAsyncStub

    _Account = tuple[Channel.Kind.ValueType, str]

REMEMBERED_SECONDS: Final = 0.9
# While escalation is away nothing can change there: what was known goes on, and customers' messages are kept.
STALE_SECONDS: Final = 600.0
PUBLISH_TIMEOUT: Final = 5.0
_MAX_REMEMBERED: Final = 10_000
_RESOLVE_TIMEOUT: Final = 2.0
_AWAY: Final = frozenset({Kind.UNAVAILABLE, Kind.DEADLINE})
CHANNEL_NAMES: Final = {Channel.WHATSAPP: "whatsapp", Channel.MESSENGER: "messenger"}
_log = get_logger(__name__)

WEBHOOK_ITEMS: Final = Counter(
    "metachat_gateway_webhook_items_total",
    "Messages and statuses in webhook calls: published, unknown_account, skipped, or refused by a rule.",
    ("channel", "result"),
    registry=metrics.REGISTRY,
)


class ChannelDirectory:
    """Whose account it is, by escalation's word, remembered for less than a second; the oldest go first.

    Calls that want to know the same at once share one question: else each second would begin with as many
    as there are calls under way, and those would be the slow ones.
    """

    def __init__(
        self, tenants: TenantServiceAsyncStub, clock: Clock, *, seconds: float = REMEMBERED_SECONDS
    ) -> None:
        """`tenants`: a stub over a channel that carries the internal token."""
        self._tenants = tenants
        self._clock = clock
        self._seconds = seconds
        self._known: OrderedDict[_Account, tuple[float, str]] = OrderedDict()
        self._asking: dict[_Account, asyncio.Task[str]] = {}

    async def tenant_of(self, kind: Channel.Kind.ValueType, account_id: str) -> str:
        """The tenant's id; empty for an unknown account. Raises ServiceError where nobody can tell."""
        key = (kind, account_id)
        now = self._clock.monotonic()
        known = self._known.get(key)
        if known is not None and now - known[0] < self._seconds:
            return known[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key, now))
            asking.add_done_callback(partial(self._answered, key))
        # Shielded: a caller that goes away takes the answer from nobody else.
        return await asyncio.shield(asking)

    def _answered(self, key: _Account, asking: asyncio.Task[str]) -> None:
        self._asking.pop(key, None)
        if not asking.cancelled():
            asking.exception()  # looked at, also where every caller has gone

    async def _ask(self, key: _Account, now: float) -> str:
        known = self._known.get(key)
        try:
            request = ResolveChannelRequest(kind=key[0], account_id=key[1])
            tenant = (await self._tenants.ResolveChannel(request, timeout=_RESOLVE_TIMEOUT)).tenant_id
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            if failure.kind in _AWAY and known is not None and known[1] and now - known[0] < STALE_SECONDS:
                return known[1]
            if failure.kind not in (Kind.NOT_FOUND, Kind.INVALID):
                raise failure from error
            tenant = ""
        self._known[key] = (now, tenant)
        self._known.move_to_end(key)
        while len(self._known) > _MAX_REMEMBERED:
            self._known.popitem(last=False)
        return tenant


class Publisher:
    """Publishes items in their order; returns when the broker has confirmed all of them."""

    def __init__(
        self,
        directory: ChannelDirectory,
        queue: Queue,
        clock: Clock,
        *,
        partitions: Partitions | None = None,
        timeout: float = PUBLISH_TIMEOUT,
    ) -> None:
        """`queue` is open; `timeout` in seconds for each confirm."""
        self._directory = directory
        self._queue = queue
        self._clock = clock
        self._partitions = partitions or Partitions()
        self._timeout = timeout

    async def publish(self, items: Sequence[Item]) -> int:
        """Gives how many were published; unknown accounts are counted and left out.

        What is of one person follows one another, different persons wait for their confirms side by side.
        Raises QueueUnavailable where the broker does not confirm, ServiceError where nobody can tell the
        tenant; what was published before stays, and comes twice when the provider repeats the call.
        """
        lanes: dict[tuple[str, str, str], list[tuple[QueueName, Envelope]]] = {}
        for item in items:
            channel = CHANNEL_NAMES[item.channel]
            tenant = await self._directory.tenant_of(item.channel, item.account_id)
            if not tenant:
                WEBHOOK_ITEMS.labels(channel, "unknown_account").inc()
                _log.warning("webhook of an unknown account", channel=channel, account=item.account_id)
                continue
            item.tenant_id = tenant
            if isinstance(item, InboundMessage):
                item.received_at.FromDatetime(self._clock.now())
            faults = validation.violations(item)
            if faults:
                # Our parser's mistake, or a message nobody could handle: no use in asking for it again.
                WEBHOOK_ITEMS.labels(channel, "refused").inc()
                _log.error("webhook item breaks a rule", channel=channel, tenant=tenant, fault=str(faults[0]))
                continue
            sealed = envelope(item)
            name = self._partitions.of(QueueName(tenant, channel, "inbound"), sealed.ordering_key)
            lanes.setdefault((tenant, channel, sealed.ordering_key), []).append((name, sealed))
        counts = await asyncio.gather(*map(self._publish_lane, lanes.values()), return_exceptions=True)
        for count in counts:
            if isinstance(count, BaseException):
                raise count
        return sum(count for count in counts if isinstance(count, int))

    async def _publish_lane(self, lane: Sequence[tuple[QueueName, Envelope]]) -> int:
        for name, sealed in lane:
            await self._queue.publish(name, sealed, timeout=self._timeout)
            WEBHOOK_ITEMS.labels(name.channel, "published").inc()
        return len(lane)


def envelope(item: Item) -> Envelope:
    """The item as it travels; messages of one person keep their order. Carries the current trace."""
    headers: dict[str, str] = {}
    inject(headers)
    person = item.contact.user_id or item.contact.address
    if isinstance(item, DeliveryStatus):
        # One message has several statuses: each is a message of its own.
        named = item.provider_message_id or f"watermark:{item.watermark.ToMilliseconds()}:{person}"
        message_id = f"{named}:{DeliveryStatus.State.Name(item.state)}"
    else:
        message_id = item.message_id
    return Envelope(
        body=item.SerializeToString(),
        type=item.DESCRIPTOR.full_name,
        message_id=fitting_id(message_id),
        ordering_key=person,
        headers=headers,
    )
