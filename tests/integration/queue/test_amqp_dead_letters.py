"""Dead letters as other programs and the broker itself see them."""

import asyncio
import time

import pytest
from aio_pika.abc import AbstractIncomingMessage

from services.common.queue import topology
from tests.integration.queue.conftest import QueueInstallation, envelope, take
from tests.integration.queue.rabbitmq_ground import next_dead_letter, opened, plain_channel

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(90)]


async def test_a_dead_letter_tells_its_story(broker: QueueInstallation) -> None:
    name = broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        await queue.publish(name, envelope(7, "alice", traceparent="00-1-2-01"))
        async with queue.consume([name], prefetch=1) as consumer:
            await (await take(consumer)).retry(0.25, reason="first: responder down")
            await (await take(consumer)).park(0.25)
            await (await take(consumer)).dead_letter("second: tries used up")
        message = await next_dead_letter(channel, name)
    assert message.body == envelope(7).body
    assert message.content_type == "application/x-protobuf"
    assert message.type == "metachat.channel.v1.InboundMessage"
    assert message.message_id == "wamid.7"
    assert float(str(message.headers.pop(topology.DEAD_LETTER_TIME))) == pytest.approx(time.time(), abs=30)
    assert message.headers == {
        "traceparent": "00-1-2-01",
        "x-metachat-ordering-key": "alice",
        "x-metachat-tries": 1,
        "x-metachat-parked": 1,
        "x-metachat-first-failure": "first: responder down",
        "x-metachat-dead-letter-reason": "second: tries used up",
        "x-metachat-dead-letter-queue": name.queue,
        "x-delivery-count": 0,
    }


async def test_what_the_broker_itself_puts_aside_is_in_the_same_queue(broker: QueueInstallation) -> None:
    """At-least-once dead lettering: a rejected message is routed with confirms."""
    name = broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        await queue.publish(name, envelope(1))
        # Not by polling: a queue with a single active consumer refuses that.
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await (await channel.get_queue(name.queue)).consume(arrived.put)
        await (await asyncio.wait_for(arrived.get(), 5)).reject(requeue=False)
        assert (await next_dead_letter(channel, name)).message_id == "wamid.1"


async def test_the_retry_of_a_removed_queue_holds_up_nobody(broker: QueueInstallation) -> None:
    gone, alive = broker.name(), broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        unrouted = await channel.get_queue(topology.UNROUTED_QUEUE)
        await unrouted.purge()
        for number in range(40):
            await queue.publish(gone, envelope(number))
        async with queue.consume([gone, alive], prefetch=50) as consumer:
            held = [await take(consumer) for _ in range(40)]
            await consumer.remove(gone)
            await asyncio.gather(*(delivery.retry(0.25, reason="x") for delivery in held))
            await channel.queue_delete(gone.queue)
            await queue.publish(alive, envelope(99))
            await (await take(consumer)).retry(0.25, reason="y")
            assert (await take(consumer, 5)).tries == 1
        deadline = time.monotonic() + 10
        while (await unrouted.declare()).message_count < 40:
            assert time.monotonic() < deadline
        await unrouted.purge()
