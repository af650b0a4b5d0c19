"""Queues that have other arguments than ours are made anew and keep what they hold."""

import asyncio
from contextlib import suppress

import aio_pika
import pytest

from services.common.queue import topology
from services.common.queue.port import (
    QueueInUse,
)
from tests.integration.queue.conftest import QueueInstallation, envelope, take
from tests.integration.queue.rabbitmq_ground import next_dead_letter, opened, plain_channel

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(90)]


async def test_a_queue_with_other_arguments_is_made_anew_and_keeps_its_messages(
    broker: QueueInstallation,
) -> None:
    name = broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        for wrong in (name.queue, name.dead_letter):
            await channel.declare_queue(wrong, durable=True, arguments={"x-queue-type": "quorum"})
        for number in range(30):
            await queue.publish(name, envelope(number, "a"))
        async with queue.consume([name], prefetch=2) as consumer:
            for _ in range(2):
                await (await take(consumer)).dead_letter("before")
            await take(consumer)
            with pytest.raises(QueueInUse, match="stop the workers"):
                await queue.mend(name)
        async with asyncio.timeout(20):
            while True:
                with suppress(QueueInUse):  # the consumer has only just gone
                    assert await queue.mend(name) == 30
                    break
                await asyncio.sleep(0.05)
        assert name.queue not in queue.conflicts
        assert await queue.mend(name) is None
        async with queue.consume([name], prefetch=5) as consumer:
            for number in range(2, 30):
                delivery = await take(consumer)
                assert delivery.envelope == envelope(number, "a")
                await delivery.ack()
        assert (await next_dead_letter(channel, name)).message_id == "wamid.0"
    async with opened(broker.url) as again:
        await again.declare(name)
        assert name.queue not in again.conflicts


async def test_what_a_crash_left_in_the_helper_comes_back(broker: QueueInstallation) -> None:
    name = broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        await queue.declare(name)
        helper = await channel.declare_queue(
            f"{name.queue}.moving", durable=True, arguments=dict(topology.dead_letter_arguments())
        )
        for number in range(3):
            message = aio_pika.Message(b"x", message_id=f"{number}", type="some.Type")
            await channel.default_exchange.publish(message, helper.name)
        assert await queue.mend(name) == 3
        async with queue.consume([name], prefetch=5) as consumer:
            assert [(await take(consumer)).envelope.message_id for _ in range(3)] == ["0", "1", "2"]
