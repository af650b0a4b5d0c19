"""What stands on the broker and is not as we declare it, and what others put there."""

import asyncio
import struct

import aio_pika
import pytest
from pamqp.commands import Basic

from services.common.queue import topology
from services.common.queue.dead_letters import KEEP, DeadLetter, Keep
from services.common.queue.port import (
    Retry,
    TopologyConflict,
)
from tests.integration.queue.conftest import QueueInstallation, envelope, take
from tests.integration.queue.rabbitmq_ground import consumed_again, next_dead_letter, opened, plain_channel

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(90)]


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


async def test_an_exchange_of_another_kind_is_a_clear_error(broker: QueueInstallation) -> None:
    rung = topology.RETRY_LADDER[-1]
    name = broker.name()
    async with plain_channel(broker.url) as channel:
        await channel.exchange_delete(topology.retry_exchange(rung))
        await channel.declare_exchange(topology.retry_exchange(rung), aio_pika.ExchangeType.DIRECT)
        try:
            async with opened(broker.url) as queue:
                with pytest.raises(TopologyConflict, match=r"metachat.retry.3600000 .* queues migrate"):
                    await queue.publish_again(name, envelope(1), Retry(), published_at=0.0, delay=rung)
                await queue.ping()
        finally:
            await channel.exchange_delete(topology.retry_exchange(rung))


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


class Unreadable(Basic.Properties):
    """What another program may write: text that is no UTF-8, and a time beyond every calendar."""

    def marshal(self) -> bytes:
        def short(text: bytes) -> bytes:
            return bytes([len(text)]) + text

        headers = short(b"na\xefve") + b"S" + struct.pack(">I", 2) + b"hi"
        flags = 1 << 13 | 1 << 12 | 1 << 7 | 1 << 6 | 1 << 5
        return b"".join(
            (
                struct.pack(">H", flags),
                struct.pack(">I", len(headers)) + headers,
                b"\x02",
                short(b"caf\xe9" * 60),
                struct.pack(">Q", 10**18),
                short(b"\xff\xfe"),
            )
        )


async def test_properties_that_nobody_can_read_end_no_connection(broker: QueueInstallation) -> None:
    name = broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        await queue.declare(name)
        wire = await channel.get_underlay_channel()
        await wire.basic_publish(
            b"{}", exchange="", routing_key=name.queue, properties=Unreadable(message_id="foreign")
        )
        await queue.publish(name, envelope(1))
        async with queue.consume([name], prefetch=5) as consumer:
            foreign = await take(consumer)
            assert (foreign.envelope.message_id, foreign.envelope.type) == ("caf" * 60, "")
            assert (foreign.envelope.headers, foreign.published_at, foreign.redelivered) == ({}, 0.0, False)
            await foreign.dead_letter("not one of ours")
            assert (await take(consumer)).envelope == envelope(1)
        shown: list[str] = []

        def look(letter: DeadLetter) -> Keep:
            shown.append(letter.reason)
            return KEEP

        assert await queue.sweep_dead_letters(name, look, limit=10) == 1
        assert shown == ["not one of ours"]
