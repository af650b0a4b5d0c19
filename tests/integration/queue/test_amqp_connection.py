"""A broker that is away, frozen or cut off: said in time, and nothing confirmed is lost."""

import asyncio
import time
from contextlib import suppress

import pytest

from services.common.queue.amqp import AmqpQueue
from services.common.queue.port import (
    DeliveryLost,
    Queue,
    QueueUnavailable,
)
from tests.integration.queue.conftest import QueueInstallation, envelope, take
from tests.integration.queue.proxy import Proxy
from tests.integration.queue.rabbitmq_ground import opened, proxied, publish_until_it_works

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(90)]


@pytest.mark.parametrize("url", ["", "http://localhost", "amqp://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="amqp://user"):
        AmqpQueue(url)


async def test_a_broker_that_is_down_is_said_at_once(broker: QueueInstallation) -> None:
    async with proxied(broker.url) as (proxy, url):
        await proxy.shut()
        async with opened(url) as queue:
            begun = time.monotonic()
            for attempt in (
                queue.publish(broker.name(), envelope(1)),
                queue.ping(),
                queue.declare(broker.name()),
                queue.publish_event("e", envelope(1)),
            ):
                with pytest.raises(QueueUnavailable, match="is away"):
                    await attempt
            assert time.monotonic() - begun < 0.5


async def test_it_comes_back_by_itself(broker: QueueInstallation) -> None:
    name = broker.name()
    async with proxied(broker.url) as (proxy, url):
        await proxy.shut()
        async with opened(url) as queue:
            with pytest.raises(QueueUnavailable):
                await queue.ping()
            await proxy.open()
            await publish_until_it_works(queue, name, 1)
            await proxy.shut()
            await proxy.open()
            await publish_until_it_works(queue, name, 2)
            async with queue.consume([name], prefetch=1) as consumer:
                for _ in range(2):
                    await (await take(consumer)).ack()


async def test_a_broker_that_freezes_is_unavailable_within_the_timeout(broker: QueueInstallation) -> None:
    """A listener that accepts and says nothing."""

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    queue = AmqpQueue(f"amqp://guest:guest@127.0.0.1:{port}/")
    opening = asyncio.create_task(queue.open())
    await asyncio.sleep(0)
    begun = time.monotonic()
    with pytest.raises(QueueUnavailable, match=r"within 0\.3 s"):
        await queue.publish(broker.name(), envelope(1), timeout=0.3)
    assert time.monotonic() - begun < 2
    opening.cancel()
    await queue.close()
    server.close()


async def test_a_cut_connection_gives_the_message_again(broker: QueueInstallation) -> None:
    name = broker.name()
    async with proxied(broker.url) as (proxy, url), opened(url) as queue:
        for number in range(3):
            await queue.publish(name, envelope(number, "a"))
        async with queue.consume([name], prefetch=5) as consumer:
            first = await take(consumer)
            proxy.cut()
            with pytest.raises(DeliveryLost):
                await first.retry(1.0, reason="too late")
            seen = []
            for _ in range(3):
                delivery = await take(consumer)
                assert delivery.redelivered is True
                assert delivery.tries == 0
                seen.append(delivery.envelope.message_id)
                await delivery.ack()
            assert seen == ["wamid.0", "wamid.1", "wamid.2"]


async def test_a_conversation_in_hand_across_a_cut_is_not_handed_out_twice(
    broker: QueueInstallation,
) -> None:
    name = broker.name()
    async with proxied(broker.url) as (proxy, url), opened(url) as queue:
        await queue.publish(name, envelope(1, "a"))
        async with queue.consume([name], prefetch=5) as consumer:
            first = await take(consumer)
            proxy.cut()
            await publish_until_it_works(queue, name, 2)
            # The one without a key is behind the redelivered one, which waits for the first handling to end.
            other = await take(consumer)
            assert other.envelope.message_id == "wamid.2"
            with pytest.raises(DeliveryLost):
                await first.ack()
            again = await take(consumer)
            assert (again.envelope.message_id, again.redelivered) == ("wamid.1", True)


async def test_nothing_confirmed_is_lost_while_connections_are_cut(broker: QueueInstallation) -> None:
    name = broker.name()
    confirmed: set[int] = set()
    received: set[int] = set()
    progress = asyncio.Event()

    async def publish(queue: Queue) -> None:
        for number in range(400):
            await asyncio.sleep(0.002)
            with suppress(QueueUnavailable):
                await queue.publish(name, envelope(number))
                confirmed.add(number)

    async def cut(proxy: Proxy) -> None:
        for _ in range(8):
            await asyncio.sleep(0.1)
            proxy.cut()

    async def consume(queue: Queue) -> None:
        async with queue.consume([name], prefetch=10) as consumer:
            async for delivery in consumer:
                received.add(int(delivery.envelope.message_id[6:]))
                progress.set()
                with suppress(DeliveryLost):
                    await delivery.ack()

    async with proxied(broker.url) as (proxy, url), opened(url) as queue:
        consuming, cutting = asyncio.create_task(consume(queue)), asyncio.create_task(cut(proxy))
        await asyncio.gather(publish(queue), cutting)
        async with asyncio.timeout(20):
            while not confirmed <= received:
                progress.clear()
                await progress.wait()
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
    assert len(confirmed) > 20
    assert confirmed <= received
