"""Declares the topology on a broker, each thing once per session."""

import asyncio
from collections.abc import Awaitable, Callable

from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelPreconditionFailed

from services.common.logs import get_logger
from services.common.queue import topology
from services.common.queue.amqp_link import Session, describe
from services.common.queue.port import QueueName, TopologyConflict

_log = get_logger(__name__)

EXCHANGES: tuple[tuple[str, str, topology.Arguments], ...] = (
    (topology.ORCHESTRATOR, "topic", {}),
    (topology.DEAD_LETTERS, "topic", {}),
    (topology.EVENTS, "topic", {}),
    (topology.UNROUTED, "fanout", {}),
    (topology.RETURNS, "topic", {"alternate-exchange": topology.UNROUTED}),
)


class Declarations:
    """What one session has declared. Reset on a new session: the broker may be another one.

    A queue that exists with other arguments (an older release, an operator) is used as it is, and said so
    once: refusing it would stop a tenant over a difference that can be mended at leisure. An exchange of
    another kind raises TopologyConflict, because messages would not go where they should.
    """

    def __init__(self) -> None:
        self.conflicts: dict[str, str] = {}
        self._session: Session | None = None
        self._channel: AbstractChannel | None = None
        self._lock = asyncio.Lock()
        self._done: set[str] = set()

    async def base(self, session: Session) -> None:
        """What everything else stands on; the first thing on each session."""
        async with self._lock:
            self._session, self._channel, self._done = session, None, set()
            for name, kind, arguments in EXCHANGES:
                await self._exchange(name, kind, arguments)
            await self._queue(topology.UNROUTED_QUEUE, topology.dead_letter_arguments())
            await self._bind(topology.UNROUTED_QUEUE, topology.UNROUTED, "")

    def knows(self, name: QueueName) -> bool:
        return name.queue in self._done

    def forget(self, name: QueueName) -> None:
        self._done.discard(name.queue)

    def forget_retry_queue(self, delay: float) -> None:
        self._done.discard(topology.retry_queue(delay))

    async def tenant_queue(self, name: QueueName) -> None:
        await self._once(name.queue, lambda: self._tenant_queue(name))

    async def retry_queue(self, delay: float) -> None:
        await self._once(topology.retry_queue(delay), lambda: self._retry_queue(delay))

    async def _tenant_queue(self, name: QueueName) -> None:
        # The dead-letter queue first, so that there is no moment in which a dead letter has nowhere to go.
        await self._queue(name.dead_letter, topology.dead_letter_arguments())
        await self._bind(name.dead_letter, topology.DEAD_LETTERS, name.routing_key)
        await self._queue(name.queue, topology.queue_arguments())
        await self._bind(name.queue, topology.ORCHESTRATOR, name.routing_key)
        await self._bind(name.queue, topology.RETURNS, name.routing_key)

    async def _retry_queue(self, delay: float) -> None:
        await self._exchange(topology.retry_exchange(delay), "fanout", {})
        await self._queue(topology.retry_queue(delay), topology.retry_arguments(delay))
        await self._bind(topology.retry_queue(delay), topology.retry_exchange(delay), "")

    async def _once(self, key: str, declare: Callable[[], Awaitable[None]]) -> None:
        if key in self._done:
            return
        async with self._lock:
            if key not in self._done:
                await declare()
                self._done.add(key)

    async def _exchange(self, name: str, kind: str, arguments: topology.Arguments) -> None:
        channel = await self._open()
        try:
            await channel.exchange_declare(name, exchange_type=kind, durable=True, arguments=dict(arguments))
        except ChannelPreconditionFailed as refusal:
            raise TopologyConflict(
                f"exchange {name} exists on the broker and is not ours ({describe(refusal)}): "
                f"run `metachat queues migrate`, or use a virtual host of its own; we need it {kind}, durable"
            ) from refusal

    async def _queue(self, name: str, arguments: topology.Arguments) -> None:
        channel = await self._open()
        try:
            await channel.queue_declare(name, durable=True, arguments=dict(arguments))
        except ChannelPreconditionFailed as refusal:
            # The refusal closed the channel.
            channel = await self._open()
            await channel.queue_declare(name, passive=True)
            if name not in self.conflicts:
                self.conflicts[name] = describe(refusal)
                _log.error(
                    "queue_arguments_differ",
                    queue=name,
                    error=describe(refusal),
                    remedy="used as it is; to mend it, stop the workers and run `metachat queues migrate`",
                )

    async def _bind(self, queue: str, exchange: str, routing_key: str) -> None:
        channel = await self._open()
        await channel.queue_bind(queue, exchange, routing_key)

    async def _open(self) -> AbstractChannel:
        """A channel apart from the publishing one: a refused declaration closes the channel it came on."""
        if self._session is None:
            raise TopologyConflict("declared before there was a session")
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._session.channel()
        return self._channel
