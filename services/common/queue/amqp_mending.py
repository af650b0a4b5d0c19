"""Queues whose arguments or number changed: what they hold is moved, each message confirmed before it goes.

RabbitMQ refuses to change a queue's arguments, so such a queue is emptied into a helper, deleted, made anew
and filled again. A crash in between leaves the helper, from which the next run goes on. Order is kept among
what is moved; what is published meanwhile stands before what comes back, unless publishers are stopped too.
"""

from collections.abc import Callable, Sequence

from aiormq.abc import DeliveredMessage

from services.common.logs import get_logger
from services.common.queue import topology
from services.common.queue.amqp_dead_letters import DeadLetterDesk, move
from services.common.queue.amqp_declarations import Declarations
from services.common.queue.amqp_holding import Counting
from services.common.queue.amqp_link import Session
from services.common.queue.amqp_message import to_envelope, to_history, to_properties, to_published_at
from services.common.queue.port import QueueInUse, QueueUnavailable
from services.common.queue.topology import QueueName

_log = get_logger(__name__)

Route = Callable[[str], QueueName]


class Mending:
    """Works on the session it is given; errors of the driver are its caller's."""

    def __init__(self, declarations: Declarations, desk: DeadLetterDesk) -> None:
        self._declarations = declarations
        self._desk = desk
        self._counting = Counting()

    async def mend(self, session: Session, name: QueueName) -> int | None:
        """See `AmqpQueue.mend`."""
        self._declarations.forget(name)
        self._declarations.conflicts.pop(name.queue, None)
        self._declarations.conflicts.pop(name.dead_letter, None)
        await self._declarations.tenant_queue(name)
        moved: int | None = None
        for queue, exchanges in (
            (name.queue, (topology.ORCHESTRATOR, topology.RETURNS)),
            (name.dead_letter, (topology.DEAD_LETTERS,)),
        ):
            helper = await self._counting.count(session, _helper(queue))
            if queue not in self._declarations.conflicts and helper is None:
                continue
            async with self._desk.alone(session, queue):
                moved = (moved or 0) + await self._rebuild(session, name, queue, exchanges)
        return moved

    async def redistribute(self, session: Session, name: QueueName, route: Route) -> int:
        """See `AmqpQueue.redistribute`."""

        async def publish(message: DeliveredMessage) -> None:
            properties = message.header.properties
            envelope = to_envelope(properties, message.body)
            to = route(envelope.ordering_key)
            await self._declarations.tenant_queue(to)
            await session.main.basic_publish(
                message.body,
                exchange=topology.ORCHESTRATOR,
                routing_key=to.routing_key,
                properties=to_properties(
                    envelope, to_history(properties), published_at=to_published_at(properties)
                ),
                mandatory=True,
            )

        total = 0
        async with self._desk.alone(session, name.queue):
            if not await self._unused(session, name.queue):
                return 0
            while moved := await move(session, name.queue, publish):
                total += moved
        return total

    async def _rebuild(self, session: Session, name: QueueName, queue: str, exchanges: Sequence[str]) -> int:
        helper = _helper(queue)
        if queue in self._declarations.conflicts:
            if await self._unused(session, queue):
                await session.main.queue_declare(
                    helper, durable=True, arguments=dict(topology.dead_letter_arguments())
                )
                while await self._pour(session, queue, helper):
                    pass
                for exchange in exchanges:
                    await session.main.queue_unbind(queue, exchange, name.routing_key)
                # What came in until then; from here on publishers find no way and wait for our lock.
                while await self._pour(session, queue, helper):
                    pass
                if (await self._counting.count(session, queue) or (0, 0)) != (0, 0):
                    raise QueueUnavailable(f"{queue} cannot be emptied: run it again")
                await session.main.queue_delete(queue)
            self._declarations.conflicts.pop(queue, None)
            self._declarations.forget(name)
            await self._declarations.tenant_queue(name)
            if queue in self._declarations.conflicts:
                raise QueueUnavailable(
                    f"{queue} still has other arguments: a policy of the broker sets them?"
                )
        total = 0
        while moved := await self._pour(session, helper, queue):
            total += moved
        await session.main.queue_delete(helper)
        _log.info("queue_mended", queue=queue, messages=total)
        return total

    async def _pour(self, session: Session, source: str, target: str) -> int:
        async def publish(message: DeliveredMessage) -> None:
            await session.main.basic_publish(
                message.body,
                exchange="",
                routing_key=target,
                properties=message.header.properties,
                mandatory=True,
            )

        return await move(session, source, publish)

    async def _unused(self, session: Session, queue: str) -> bool:
        """Whether it is there; raises QueueInUse where somebody consumes it."""
        count = await self._counting.count(session, queue)
        if count is not None and count[1]:
            raise QueueInUse(f"{queue} is consumed: stop the workers first")
        return count is not None


def _helper(queue: str) -> str:
    return f"{queue}.moving"
