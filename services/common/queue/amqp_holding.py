"""Takes messages of a queue into one hand for a moment, and gives back in order what was not settled."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import AMQPChannelError, ChannelLockedResource, ChannelNotFoundEntity
from pamqp.commands import Basic

from services.common.queue.amqp_link import DRIVER_ERRORS, Session
from services.common.queue.port import QueueUnavailable

# What is not there after this long went to somebody else.
_QUIET = 1.0
_MOMENT = 0.05
_LOCK_PAUSE = 0.05
# Of messages that are only passed by: within the time that callers have for the whole of it.
_PASSING_SECONDS = 15.0

# Whether a message is one to hold.
Wanted = Callable[[DeliveredMessage], bool]


@asynccontextmanager
async def one_at_a_time(session: Session, queue: str) -> AsyncIterator[None]:
    """Nobody else who asks for this queue's lock is inside meanwhile, whatever the process.

    The lock is a queue that only this connection may touch, so it ends with us. A quorum queue does not heed
    an exclusive subscription. Waits until the caller's deadline.
    """
    lock = f"{queue}.lock"
    while True:
        channel = await session.channel()
        try:
            await channel.queue_declare(lock, exclusive=True)
            break
        except ChannelLockedResource:
            await asyncio.sleep(_LOCK_PAUSE)
    try:
        yield
    finally:
        with suppress(*DRIVER_ERRORS):  # a connection that is gone took the lock with it
            await channel.queue_delete(lock)
            await channel.close()


class Counting:
    """Asks for queues' lengths on one channel, opened anew after each question about one that is not there:
    that closes it.
    """

    def __init__(self) -> None:
        self._session: Session | None = None
        self._channel: AbstractChannel | None = None
        self._lock = asyncio.Lock()

    async def count(self, session: Session, queue: str) -> tuple[int, int] | None:
        """(ready messages, consumers) of a queue; None where there is none."""
        async with self._lock:
            if self._session is not session or self._channel is None or self._channel.is_closed:
                self._session, self._channel = session, await session.channel()
            try:
                found = await self._channel.queue_declare(queue, passive=True)
            except ChannelNotFoundEntity:
                return None
        return found.message_count or 0, found.consumer_count or 0


@asynccontextmanager
async def held(
    session: Session,
    queue: str,
    *,
    limit: int,
    most_bytes: int,
    wanted: Wanted | None = None,
) -> AsyncIterator[tuple[AbstractChannel, list[DeliveredMessage]]]:
    """Up to `limit` messages from the head of the queue, and the channel to acknowledge them on.

    `wanted`: which to give; the bodies of others are not kept, and they count towards no bound.
    At the end the channel is closed: what was not acknowledged is back at its place at once and in order.
    """
    channel = await session.channel()
    try:
        try:
            messages = await _poll(channel, queue, limit, most_bytes, wanted)
        except AMQPChannelError:
            # One that has a single active consumer refuses to be polled.
            channel = await session.channel()
            messages = await _subscribe(channel, queue, limit, most_bytes, wanted)
        yield channel, messages
    finally:
        with suppress(*DRIVER_ERRORS):  # lost with its connection, the broker has taken everything back
            await channel.close()


async def _poll(
    channel: AbstractChannel, queue: str, limit: int, most_bytes: int, wanted: Wanted | None
) -> list[DeliveredMessage]:
    """One question for each message. Lengths are no help: the broker tells them a little late."""
    messages: list[DeliveredMessage] = []
    size = 0
    clock = asyncio.get_running_loop().time
    deadline = clock() + _PASSING_SECONDS
    while len(messages) < limit and size < most_bytes and (wanted is None or clock() < deadline):
        message = await channel.basic_get(queue)
        if isinstance(message.delivery, Basic.GetEmpty):
            # What another hand has just given back takes a moment.
            await asyncio.sleep(_MOMENT)
            message = await channel.basic_get(queue)
            if isinstance(message.delivery, Basic.GetEmpty):
                break
        if wanted is None or wanted(message):
            messages.append(message)
            size += len(message.body)
    return messages


async def _subscribe(
    channel: AbstractChannel, queue: str, limit: int, most_bytes: int, wanted: Wanted | None
) -> list[DeliveredMessage]:
    arrived: asyncio.Queue[DeliveredMessage | None] = asyncio.Queue()

    async def on_message(message: DeliveredMessage) -> None:
        arrived.put_nowait(message)

    channel.closing.add_done_callback(lambda _: arrived.put_nowait(None))
    # 0: without a bound, because what is passed by stays in hand too.
    await channel.basic_qos(prefetch_count=0 if wanted is not None else min(limit, 65_535))
    await channel.basic_consume(queue, on_message)
    messages: list[DeliveredMessage] = []
    size = 0
    while len(messages) < limit and size < most_bytes:
        try:
            async with asyncio.timeout(_QUIET):
                message = await arrived.get()
        except TimeoutError:
            break
        if message is None:
            raise QueueUnavailable("the connection was lost while messages were looked at")
        if wanted is None or wanted(message):
            messages.append(message)
            size += len(message.body)
    return messages
