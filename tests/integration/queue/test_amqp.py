"""What only RabbitMQ has: a network to lose, declarations that clash, dead letters other programs read."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from services.common.queue import topology
from services.common.queue.amqp import AmqpQueue
from services.common.queue.port import (
    DeliveryLost,
    Queue,
    QueueInUse,
    QueueUnavailable,
    Retry,
    TopologyConflict,
)
from services.common.queue.topology import QueueName
from tests.integration.queue.conftest import QueueInstallation, envelope, take
from tests.integration.queue.proxy import Proxy

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(90)]


@asynccontextmanager
async def plain_channel(url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        yield channel


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    parts = urlsplit(url)
    proxy = Proxy(parts.port or 5672)
    await proxy.open()
    credentials = parts.netloc.rpartition("@")[0]
    try:
        yield proxy, urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{proxy.port}"))
    finally:
        await proxy.close()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AmqpQueue]:
    queue = AmqpQueue(url)
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


async def publish_until_it_works(queue: Queue, name: QueueName, number: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            await queue.publish(name, envelope(number))
            return
        except QueueUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def consumed_again(url: str, name: QueueName) -> None:
    """Waits until the queue exists and somebody consumes it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(ChannelNotFoundEntity):
            async with plain_channel(url) as channel:
                queue = await channel.declare_queue(name.queue, passive=True)
                if queue.declaration_result.consumer_count:
                    return
        await asyncio.sleep(0.05)
    raise AssertionError(f"nobody consumes {name.queue}")


async def next_dead_letter(channel: AbstractChannel, name: QueueName) -> AbstractIncomingMessage:
    queue = await channel.get_queue(name.dead_letter)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        message = await queue.get(fail=False)
        if message is not None:
            await message.ack()
            return message
        await asyncio.sleep(0.05)
    raise AssertionError("no dead letter came")


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


async def test_a_queue_somebody_deleted_is_made_again(broker: QueueInstallation) -> None:
    name = broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        await queue.publish(name, envelope(1))
        await channel.queue_delete(name.queue)
        await asyncio.gather(*(queue.publish(name, envelope(2)) for _ in range(5)))
        async with queue.consume([name], prefetch=10) as consumer:
            copies = [await take(consumer) for _ in range(5)]
            assert {copy.envelope.message_id for copy in copies} == {"wamid.2"}
            await channel.queue_delete(name.queue)
            # Nobody published; the consumer itself has to notice.
            await consumed_again(broker.url, name)
            await queue.publish(name, envelope(3))
            assert (await take(consumer)).envelope.message_id == "wamid.3"


async def test_other_arguments_are_said_and_lived_with(
    broker: QueueInstallation, caplog: pytest.LogCaptureFixture
) -> None:
    name = broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        await channel.declare_queue(name.queue, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.publish(name, envelope(1))
        await queue.publish(name, envelope(2))
        assert "inequivalent arg" in queue.conflicts[name.queue]
        async with queue.consume([name], prefetch=1) as consumer:
            await (await take(consumer)).ack()
            await (await take(consumer)).ack()
    said = [record for record in caplog.records if "queue_arguments_differ" in str(record.msg)]
    assert len(said) == 1


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


async def test_an_exchange_of_another_kind_is_a_clear_error(broker: QueueInstallation) -> None:
    rung = topology.RETRY_LADDER[-1]
    name = broker.name()
    async with plain_channel(broker.url) as channel:
        await channel.exchange_delete(topology.retry_exchange(rung))
        await channel.declare_exchange(topology.retry_exchange(rung), aio_pika.ExchangeType.DIRECT)
        try:
            async with opened(broker.url) as queue:
                with pytest.raises(TopologyConflict, match=r"metachat.retry.3600000 .* delete it"):
                    await queue.publish_again(name, envelope(1), Retry(), published_at=0.0, delay=rung)
                await queue.ping()
        finally:
            await channel.exchange_delete(topology.retry_exchange(rung))


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


async def test_events_go_to_whoever_listens_and_else_nowhere(broker: QueueInstallation) -> None:
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        await queue.publish_event("tenant.acme.human_handoff.requested", envelope(1))
        listener = await channel.declare_queue(exclusive=True)
        await listener.bind(topology.EVENTS, "tenant.*.human_handoff.#")
        await queue.publish_event("tenant.acme.human_handoff.requested", envelope(2, trace="t"))
        message = await listener.get(timeout=5)
        assert (message.message_id, message.headers) == ("wamid.2", {"trace": "t"})
        await message.ack()


async def test_a_foreign_message_is_handed_out_for_its_reader_to_refuse(broker: QueueInstallation) -> None:
    name = broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        await queue.declare(name)
        exchange = await channel.get_exchange(topology.ORCHESTRATOR)
        headers = {"x-metachat-tries": "many", "n": 5, "list": [1], "x-death": "no list"}
        await exchange.publish(aio_pika.Message(b"{}", headers=headers), name.routing_key)
        async with queue.consume([name], prefetch=1) as consumer:
            delivery = await take(consumer)
            assert (delivery.envelope.type, delivery.tries) == ("", 0)
            assert delivery.envelope.headers == {"n": "5", "list": "[1]"}
            await delivery.dead_letter("not one of ours")
        assert (await next_dead_letter(channel, name)).body == b"{}"
