"""Dead letters and leftovers on RabbitMQ: looked at under a lock, settled only after a confirm."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from services.common.queue import topology
from services.common.queue.amqp_declarations import Declarations
from services.common.queue.amqp_holding import Counting, held, one_at_a_time
from services.common.queue.amqp_link import Session
from services.common.queue.amqp_message import to_envelope, to_history, to_properties, to_published_at
from services.common.queue.dead_letters import (
    MOST_BYTES,
    MOST_LETTERS,
    DeadLetter,
    Decide,
    Discard,
    Explain,
    Numbering,
    Replay,
    digest_of,
    letter_id,
)
from services.common.queue.port import Retry
from services.common.queue.topology import QueueName

_RETIRED_AT_ONCE = 500
_MOMENT = 0.05
_NOBODY = "its queue is gone: nobody took it back after a wait"


class DeadLetterDesk:
    """Works on the session it is given; errors of the driver are its caller's."""

    def __init__(self, declarations: Declarations) -> None:
        self._declarations = declarations
        self._counting = Counting()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def sweep(
        self,
        session: Session,
        place: QueueName | None,
        decide: Decide,
        limit: int,
        *,
        untold: bool = False,
    ) -> int:
        """See `Queue.sweep_dead_letters`."""
        queue = topology.UNROUTED_QUEUE if place is None else place.dead_letter
        async with self.alone(session, queue):
            if await self._counting.count(session, queue) is None:
                return 0
            most = min(limit, MOST_LETTERS)
            numbering = Numbering()
            wanted = _silent if untold else None
            async with held(session, queue, limit=most, most_bytes=MOST_BYTES, wanted=wanted) as (
                channel,
                messages,
            ):
                for message in messages:
                    letter = to_dead_letter(message, place, numbering)
                    await self._carry_out(session, channel, message, letter, decide)
                return len(messages)

    async def retire(self, session: Session, name: QueueName, reason: str) -> bool:
        """See `Queue.retire`."""
        self._declarations.forget(name)
        # The dead letters last: until then what is rejected still has somewhere to go.
        for queue, exchanges, why in (
            (name.queue, (topology.ORCHESTRATOR, topology.RETURNS), reason),
            (name.dead_letter, (topology.DEAD_LETTERS,), ""),
        ):
            async with self.alone(session, queue):
                if not await self._retire(session, name, queue, exchanges, why):
                    return False
        return True

    async def _retire(
        self, session: Session, name: QueueName, queue: str, exchanges: Sequence[str], reason: str
    ) -> bool:
        """Quorum queues know no "delete if empty, if unused" (RabbitMQ 3.10 ends the connection), so nothing
        may come in from here on: a publisher that finds no way declares again, and that waits for our lock.
        """
        count = await self._counting.count(session, queue)
        if count is None:
            return True
        if count[1]:
            return False
        for exchange in exchanges:
            await session.main.queue_unbind(queue, exchange, name.routing_key)
        # What was on its way takes a moment. Without a consumer nothing can be in hand.
        await asyncio.sleep(_MOMENT)
        count = await self._counting.count(session, queue)
        if count is not None and count[0]:
            await move(session, queue, lambda message: self._to_unrouted(session, name, message, reason))
            return False  # look again before it goes
        if count != (0, 0):
            return False
        await session.main.queue_delete(queue)
        return True

    async def _carry_out(
        self,
        session: Session,
        channel: AbstractChannel,
        message: DeliveredMessage,
        letter: DeadLetter,
        decide: Decide,
    ) -> None:
        decision = decide(letter)
        properties = message.header.properties
        match decision:
            case Replay(to=to):
                await self._declarations.tenant_queue(to)
                await session.main.basic_publish(
                    message.body,
                    exchange=topology.ORCHESTRATOR,
                    routing_key=to.routing_key,
                    properties=to_properties(
                        letter.envelope, Retry(), published_at=letter.published_at or time.time()
                    ),
                    mandatory=True,
                )
            case Explain(reason=reason) if letter.queue is not None:
                await session.main.basic_publish(
                    message.body,
                    exchange=topology.DEAD_LETTERS,
                    routing_key=letter.queue.routing_key,
                    properties=explained(properties, reason, letter.queue),
                    mandatory=True,
                )
            case Discard():
                pass
            case _:
                return
        await channel.basic_ack(message.delivery_tag or 0)

    async def _to_unrouted(
        self, session: Session, name: QueueName, message: DeliveredMessage, reason: str
    ) -> None:
        properties = message.header.properties
        given = (properties.headers or {}).get(topology.DEAD_LETTER_REASON)
        await session.main.basic_publish(
            message.body,
            exchange=topology.UNROUTED,
            routing_key=name.routing_key,
            properties=explained(properties, reason or _text(given) or _broker_reason(properties), name),
            mandatory=True,
        )

    @asynccontextmanager
    async def alone(self, session: Session, queue: str) -> AsyncIterator[None]:
        """Nobody else retires or sweeps this queue meanwhile."""
        lock = self._locks.get(queue)
        if lock is None:
            lock = self._locks[queue] = asyncio.Lock()
        async with lock, one_at_a_time(session, queue):
            yield


async def move(
    session: Session,
    queue: str,
    publish: Callable[[DeliveredMessage], Awaitable[None]],
    *,
    limit: int = _RETIRED_AT_ONCE,
) -> int:
    """Publish up to `limit` messages of a queue elsewhere, each acknowledged after `publish` returned."""
    async with held(session, queue, limit=limit, most_bytes=MOST_BYTES) as (channel, messages):
        for message in messages:
            await publish(message)
            await channel.basic_ack(message.delivery_tag or 0)
        return len(messages)


def to_dead_letter(message: DeliveredMessage, place: QueueName | None, numbering: Numbering) -> DeadLetter:
    """What a delivery from a dead-letter queue says of itself; `place` None = from the one of lost queues."""
    properties = message.header.properties
    headers = properties.headers or {}
    given = _text(headers.get(topology.DEAD_LETTER_REASON, ""))
    time_given = _text(headers.get(topology.DEAD_LETTER_TIME, ""))
    death = _first_death(properties)
    routing_key = str(getattr(message.delivery, "routing_key", "") or "")
    envelope = to_envelope(properties, message.body)
    origin = place
    if origin is None:
        try:
            origin = QueueName.from_routing_key(routing_key)
        except ValueError:
            origin = None
    mark = digest_of(
        routing_key,
        envelope.message_id,
        envelope.type,
        str(properties.timestamp),
        time_given,
        str(death.get("time", "")),
        message.body,
    )
    reason = given or _broker_reason(properties)
    return DeadLetter(
        id=letter_id(place, numbering.mark(mark)),
        queue=origin,
        envelope=envelope,
        history=to_history(properties),
        reason=reason
        if given or place is not None
        else "its queue is gone: nobody took it back after a wait",
        published_at=to_published_at(properties),
        dead_at=_seconds(time_given, death.get("time")),
        by_broker=not given,
        untold=topology.UNTOLD in headers,
        unrouted=place is None,
    )


def explained(properties: Basic.Properties, reason: str, name: QueueName) -> Basic.Properties:
    """The same message with our reason, for which the broker's own notes are dropped; it counts as told."""
    headers: dict[str, Any] = {
        key: value
        for key, value in (properties.headers or {}).items()
        if not key.startswith(
            ("x-death", "x-delivery-count", "x-first-death-", "x-last-death-", topology.UNTOLD)
        )
    }
    headers[topology.DEAD_LETTER_REASON] = reason
    headers.setdefault(topology.DEAD_LETTER_QUEUE, name.queue)
    headers.setdefault(topology.DEAD_LETTER_TIME, f"{time.time():.3f}")
    return Basic.Properties(
        content_type=properties.content_type,
        delivery_mode=2,
        headers=headers,
        message_id=properties.message_id,
        message_type=properties.message_type,
        timestamp=properties.timestamp,
    )


def _silent(message: DeliveredMessage) -> bool:
    """See `DeadLetter.silent`."""
    headers = message.header.properties.headers or {}
    return topology.UNTOLD in headers or not headers.get(topology.DEAD_LETTER_REASON)


def _broker_reason(properties: Basic.Properties) -> str:
    """What RabbitMQ wrote into x-death, in words."""
    death = _first_death(properties)
    word = _text(death.get("reason", ""))
    times = death.get("count", 0)
    words = {
        "delivery_limit": "delivery_limit: handed out too often without being settled",
        "rejected": "rejected: a consumer refused it without a reason",
        "expired": "expired: its time to live ran out",
        "maxlen": "maxlen: the queue was full",
    }
    if not word:
        return "unknown: nobody gave a reason"
    text = words.get(word, word)
    return f"{text} ({times} times)" if isinstance(times, int) and times > 1 else text


def _first_death(properties: Basic.Properties) -> dict[str, Any]:
    """The newest entry, which RabbitMQ puts first."""
    deaths = (properties.headers or {}).get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        return deaths[0]
    return {}


def _seconds(given: str, death: object) -> float:
    try:
        return float(given)
    except ValueError:
        return death.timestamp() if isinstance(death, datetime) else 0.0


def _text(value: object) -> str:
    if value is None:
        return ""
    return value.decode(errors="replace") if isinstance(value, bytes | bytearray) else str(value)
