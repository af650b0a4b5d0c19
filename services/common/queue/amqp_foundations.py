"""What all tenants' queues stand on, brought to what this release declares: exchanges and retry queues.

RabbitMQ changes neither kind nor arguments of what exists, so it is taken away and made anew. Each step
leaves a state from which the next run goes on, and none in which a message has nowhere to go:

- While an exchange is away, publishers get no confirm and publish again, and what the broker should have
  dead-lettered there (at least once) it keeps, and tries again by itself.
- A retry queue is emptied into the exchange of those that return, each message confirmed before its old copy
  goes: it comes back at once, because how long it has waited already cannot be told.
- While the exchange of those that return has no bindings, its alternate is away too: else the broker would
  put everything that comes due aside as lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum
from functools import partial
from typing import Any

from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, PublishError

from services.common.queue import topology
from services.common.queue.amqp_dead_letters import move
from services.common.queue.amqp_declarations import EXCHANGES
from services.common.queue.amqp_holding import Counting, one_at_a_time
from services.common.queue.amqp_link import DRIVER_ERRORS, Session
from services.common.queue.port import QueueInUse, QueueUnavailable
from services.common.queue.topology import QueueName

# What was on its way into a queue that was unbound, or out of it by the broker's own hand, takes a moment.
_MOMENT = 1.0
_ROUNDS = 20


class _State(Enum):
    FITS = "fits"
    DIFFERS = "differs"
    MISSING = "missing"


class Foundations:
    """One run over one session; errors of the driver are its caller's."""

    def __init__(self, session: Session, names: Sequence[QueueName], told: Callable[[str], None]) -> None:
        """`names`: all queues whose bindings are to stand at the end; those that do not exist are left out.
        `told` gets a line after each step that changed something.
        """
        self._session = session
        self._names = names
        self._told = told
        self._counting = Counting()

    async def mend(self) -> None:
        """Raises QueueInUse while somebody consumes one of the queues, QueueUnavailable."""
        returns = await self._state(topology.RETURNS)
        if returns is _State.MISSING or await self._state(topology.UNROUTED) is not _State.FITS:
            await self._make_returns(anew=False)
        for delay in topology.RETRY_LADDER:
            await self._retry_queue(delay, broker_hands_on=returns is _State.MISSING)
        for name, kind, arguments in EXCHANGES:
            if name not in (topology.RETURNS, topology.UNROUTED):
                await self._exchange(name, kind, arguments)
        if returns is _State.DIFFERS:
            await self._make_returns(anew=True)
        await self._bind(topology.ORCHESTRATOR, topology.RETURNS, topology.DEAD_LETTERS)

    async def _make_returns(self, *, anew: bool) -> None:
        """The exchange of those that return, unless it stands, and its alternate, which comes last."""
        await self._check_unused()
        async with self._channel() as channel:
            await channel.exchange_delete(topology.UNROUTED)
            self._told(f"exchange {topology.UNROUTED}: away until the bindings stand")
            if anew:
                await channel.exchange_delete(topology.RETURNS)
                self._told(f"exchange {topology.RETURNS}: of another kind, taken away")
            await self._fits(partial(_declare_exchange, topology.RETURNS))
            self._told(f"exchange {topology.RETURNS}: stands")
            await self._bind(topology.RETURNS)
            self._told(f"exchange {topology.RETURNS}: bound")
            await _declare_exchange(topology.UNROUTED, channel)
            if await self._counting.count(self._session, topology.UNROUTED_QUEUE) is None:
                await channel.queue_declare(
                    topology.UNROUTED_QUEUE, durable=True, arguments=dict(topology.dead_letter_arguments())
                )
            await channel.queue_bind(topology.UNROUTED_QUEUE, topology.UNROUTED, "")
            self._told(f"exchange {topology.UNROUTED}: stands")

    async def _retry_queue(self, delay: float, *, broker_hands_on: bool) -> None:
        queue, exchange = topology.retry_queue(delay), topology.retry_exchange(delay)
        if await self._counting.count(self._session, queue) is not None and not await self._fits(
            partial(_declare_retry_queue, delay)
        ):
            if broker_hands_on:
                # Taken away now, it would take with it what the broker is still trying to hand on by itself.
                self._told(f"{queue}: other arguments; run it again in five minutes")
            else:
                await self._rebuild_retry_queue(delay)
        await self._exchange(exchange, "fanout", {})
        async with self._channel() as channel:
            if await self._counting.count(self._session, queue) is None:
                await _declare_retry_queue(delay, channel)
            await channel.queue_bind(queue, exchange, "")

    async def _rebuild_retry_queue(self, delay: float) -> None:
        queue, exchange = topology.retry_queue(delay), topology.retry_exchange(delay)
        await self._check_unused()
        async with one_at_a_time(self._session, queue):
            with suppress(ChannelNotFoundEntity):
                async with self._channel() as channel:
                    await channel.queue_unbind(queue, exchange, "")
            self._told(f"{queue}: other arguments, nothing more goes in")
            await self._empty(queue)
            async with self._channel() as channel:
                await channel.queue_delete(queue)
            self._told(f"{queue}: empty, taken away")
            if not await self._fits(partial(_declare_retry_queue, delay)):
                raise QueueUnavailable(
                    f"{queue} still has other arguments: a policy of the broker sets them?"
                )
            self._told(f"{queue}: made anew")

    async def _empty(self, queue: str) -> None:
        total = 0
        for _ in range(_ROUNDS):
            while moved := await move(self._session, queue, self._return):
                total += moved
                self._told(f"{queue}: {total} messages returned at once")
            await asyncio.sleep(_MOMENT)
            if await self._counting.count(self._session, queue) == (0, 0):
                return
        raise QueueUnavailable(f"{queue} cannot be emptied: run it again")

    async def _return(self, message: DeliveredMessage) -> None:
        """To its own queue; where that is gone, to the dead letters of lost queues, as the broker does it."""
        publish = partial(
            self._session.main.basic_publish,
            message.body,
            routing_key=str(getattr(message.delivery, "routing_key", "") or ""),
            properties=message.header.properties,
            mandatory=True,
        )
        try:
            await publish(exchange=topology.RETURNS)
        except PublishError:
            await publish(exchange=topology.UNROUTED)

    async def _exchange(self, name: str, kind: str, arguments: topology.Arguments) -> None:
        async def declare(channel: AbstractChannel) -> None:
            await channel.exchange_declare(name, exchange_type=kind, durable=True, arguments=dict(arguments))

        if await self._fits(declare):
            return
        await self._check_unused()
        async with self._channel() as channel:
            await channel.exchange_delete(name)
            self._told(f"exchange {name}: of another kind, taken away")
            await declare(channel)
            self._told(f"exchange {name}: made anew")

    async def _bind(self, *exchanges: str) -> None:
        async with self._channel() as channel:
            for name in self._names:
                for queue, theirs in (
                    (name.queue, (topology.ORCHESTRATOR, topology.RETURNS)),
                    (name.dead_letter, (topology.DEAD_LETTERS,)),
                ):
                    wanted = [exchange for exchange in theirs if exchange in exchanges]
                    if wanted and await self._counting.count(self._session, queue) is not None:
                        for exchange in wanted:
                            await channel.queue_bind(queue, exchange, name.routing_key)

    async def _check_unused(self) -> None:
        for name in self._names:
            count = await self._counting.count(self._session, name.queue)
            if count is not None and count[1]:
                raise QueueInUse(f"{name.queue} is consumed: stop the workers first")

    async def _state(self, exchange: str) -> _State:
        try:
            async with self._channel() as channel:
                await channel.exchange_declare(exchange, passive=True)
        except ChannelNotFoundEntity:
            return _State.MISSING
        fits = await self._fits(partial(_declare_exchange, exchange))
        return _State.FITS if fits else _State.DIFFERS

    async def _fits(self, declare: Callable[[AbstractChannel], Awaitable[Any]]) -> bool:
        try:
            async with self._channel() as channel:
                await declare(channel)
        except ChannelPreconditionFailed:
            return False
        return True

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        """For one purpose: what the broker refuses closes it."""
        channel = await self._session.channel()
        try:
            yield channel
        finally:
            with suppress(*DRIVER_ERRORS):
                await channel.close()


async def _declare_exchange(name: str, channel: AbstractChannel) -> None:
    kind, arguments = next((kind, arguments) for known, kind, arguments in EXCHANGES if known == name)
    await channel.exchange_declare(name, exchange_type=kind, durable=True, arguments=dict(arguments))


async def _declare_retry_queue(delay: float, channel: AbstractChannel) -> None:
    await channel.queue_declare(
        topology.retry_queue(delay), durable=True, arguments=dict(topology.retry_arguments(delay))
    )
