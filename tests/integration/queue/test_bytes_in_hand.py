"""However much waits, a bound of bytes is in memory; order, and messages larger than the bound, stand it."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import Delivery, Envelope
from services.common.queue.topology import QueueName
from tests.integration.queue.conftest import QueueInstallation, envelope, settled_depth, take

pytestmark = pytest.mark.timeout(90)


@pytest.mark.parametrize("bound", [1, 3_000, 40_000])
async def test_order_holds_and_nothing_stays_however_little_fits_into_memory(
    installation: QueueInstallation, bound: int
) -> None:
    """Among them one that is larger than the bound alone."""
    chance = random.Random(bound)
    queue = await installation.open()
    names = [installation.name() for _ in range(4)]
    sent: dict[tuple[str, str], list[bytes]] = {}
    for number in range(120):
        name, key = names[number % len(names)], chance.choice(["", "a", "b"])
        body = chance.randbytes(60_000 if number == 17 else chance.choice([0, 50, 2_500]))
        await queue.publish(name, replace(envelope(number, key), body=body))
        sent.setdefault((name.queue, key), []).append(body)
    came: dict[tuple[str, str], list[bytes]] = {}
    in_hand: list[Delivery] = []
    async with queue.consume(names, prefetch=5, most_bytes=bound) as consumer:
        for _ in range(120):
            delivery = None
            while delivery is None:
                if len(in_hand) == 3:
                    await in_hand.pop(chance.randrange(3)).ack()
                try:
                    delivery = await take(consumer, 0.3 if in_hand else 10.0)
                except TimeoutError:
                    # What is in hand fills the bound, or what else was read waits behind it.
                    await in_hand.pop(chance.randrange(len(in_hand))).ack()
            key = delivery.envelope.ordering_key
            came.setdefault((delivery.queue.queue, key), []).append(delivery.envelope.body)
            assert not delivery.redelivered
            in_hand.append(delivery)
        for delivery in in_hand:
            await delivery.ack()
    assert came == sent
    for name in names:
        assert await settled_depth(queue, name, ready=0, dead=0)


async def test_a_queue_of_large_messages_starves_no_other(installation: QueueInstallation) -> None:
    queue, large, small = await installation.open(), installation.name(), installation.name()
    async with queue.consume([large, small], prefetch=5, most_bytes=5_000) as consumer:
        for name in (large, small):
            # Both are consumed from here on.
            await queue.publish(name, envelope(1))
            await (await take(consumer)).ack()
        for number in range(20):
            await queue.publish(large, replace(envelope(number), body=bytes(5_000)))
        await queue.publish(small, envelope(99))
        seen = []
        for _ in range(12):
            delivery = await take(consumer)
            seen.append(delivery.envelope.message_id)
            await delivery.ack()
    assert "wamid.99" in seen


async def test_what_does_not_fit_into_memory_is_not_read(tmp_path: Path) -> None:
    queue = EmbeddedQueue(tmp_path / "queue.db")
    await queue.open()
    names = [QueueName(f"t{number}", "whatsapp", "inbound") for number in range(10)]
    for number in range(50):
        await queue.publish(names[number % 10], Envelope(bytes(1_000), "some.Type", str(number)))
    async with queue.consume(names, prefetch=5, most_bytes=3_500) as consumer:
        delivery = await take(consumer)
        depths = await queue.depths(names)
        # Up to the bound and the one that crossed it.
        assert sum(depth.unacked or 0 for depth in depths) == 4
        await delivery.ack()
        for _ in range(49):
            await (await take(consumer)).ack()
    await queue.close()
