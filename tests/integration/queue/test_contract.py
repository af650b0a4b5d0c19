"""What the port promises, on both implementations."""

import asyncio
import time

import pytest

from services.common.queue.port import DeliveryLost, Queue, QueueUnavailable
from services.common.queue.topology import DELIVERY_LIMIT
from tests.integration.queue.conftest import QueueInstallation, envelope, nothing_comes, settled_depth, take

pytestmark = pytest.mark.timeout(90)


async def test_what_goes_in_comes_out(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name("outbound", 3)
    sent = envelope(1, "alice", traceparent="00-ab-cd-01", note="ä €")
    before = time.time()
    await queue.publish(name, sent)
    async with queue.consume([name], prefetch=5) as consumer:
        delivery = await take(consumer)
        assert delivery.envelope == sent
        assert delivery.queue == name
        assert (delivery.tries, delivery.history.parked, delivery.redelivered) == (0, 0, False)
        assert before - 1.0 <= delivery.published_at <= time.time()
        await delivery.ack()
    assert await settled_depth(queue, name, ready=0, dead=0)


async def test_an_empty_body_is_a_message_too(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1).__class__(b"", "some.Type", "id"))
    async with queue.consume([name], prefetch=1) as consumer:
        assert (await take(consumer)).envelope.body == b""


async def test_a_large_body_comes_out_whole(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    body = bytes(range(256)) * 12_000
    await queue.publish(name, envelope(1).__class__(body, "some.Type", "id"))
    async with queue.consume([name], prefetch=1) as consumer:
        delivery = await take(consumer)
        assert delivery.envelope.body == body
        await delivery.ack()


async def test_retry_comes_back_later_with_one_try_more(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1, "a", trace="t"))
    async with queue.consume([name], prefetch=5) as consumer:
        first = await take(consumer)
        begun = time.monotonic()
        await first.retry(0.25, reason="responder timed out")
        second = await take(consumer)
        assert time.monotonic() - begun >= 0.24
        assert (second.tries, second.history.first_failure) == (1, "responder timed out")
        assert second.envelope == first.envelope
        assert second.redelivered is False
        assert abs(second.published_at - first.published_at) < 0.001
        await second.retry(0.25, reason="another")
        third = await take(consumer)
        assert (third.tries, third.history.first_failure) == (2, "responder timed out")
        await third.ack()
    assert await settled_depth(queue, name, ready=0, dead=0)


async def test_parking_costs_no_try(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1, "a"))
    async with queue.consume([name], prefetch=5) as consumer:
        await (await take(consumer)).retry(0.25, reason="down")
        begun = time.monotonic()
        await (await take(consumer)).park(0.25)
        again = await take(consumer)
        assert time.monotonic() - begun >= 0.24
        assert (again.tries, again.history.parked, again.history.first_failure) == (1, 1, "down")


async def test_a_retry_lets_later_ones_pass(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    for number in range(2):
        await queue.publish(name, envelope(number, "a"))
    async with queue.consume([name], prefetch=5) as consumer:
        await (await take(consumer)).retry(0.25, reason="x")
        later = await take(consumer)
        assert later.envelope.message_id == "wamid.1"
        await later.ack()
        assert (await take(consumer)).envelope.message_id == "wamid.0"


async def test_dead_letters_are_put_aside(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1))
    async with queue.consume([name], prefetch=5) as consumer:
        await (await take(consumer)).dead_letter("no protobuf")
        assert await nothing_comes(consumer, 0.3)
    assert await settled_depth(queue, name, ready=0, dead=1)


async def test_a_reason_of_any_kind_can_be_kept(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1))
    async with queue.consume([name], prefetch=5) as consumer:
        await (await take(consumer)).retry(0.25, reason="<html>\n \x00 \udcff" + "x" * 1_000_000)
        again = await take(consumer)
        assert again.history.first_failure.startswith("<html> \x00 ?xxx")
        assert len(again.history.first_failure) <= 1000
        await again.dead_letter("y" * 1_000_000)
    assert await settled_depth(queue, name, ready=0, dead=1)


async def test_a_delivery_is_settled_once(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1))
    async with queue.consume([name], prefetch=5) as consumer:
        delivery = await take(consumer)
        await delivery.ack()
        with pytest.raises(RuntimeError, match="settled already"):
            await delivery.retry(1.0, reason="late")


async def test_what_a_killed_process_held_is_handed_out_again_in_order(
    installation: QueueInstallation,
) -> None:
    queue, name = await installation.open(), installation.name()
    for number in range(8):
        await queue.publish(name, envelope(number))
    child = await installation.holder(name)
    async with queue.consume([name], prefetch=10) as consumer:
        child.kill()
        await child.wait()
        deliveries = [await take(consumer) for _ in range(8)]
        ids = [delivery.envelope.message_id for delivery in deliveries]
        assert sorted(ids) == [f"wamid.{number}" for number in range(8)]
        held = [delivery for delivery in deliveries if delivery.redelivered]
        # The broker counts what the child had taken and not handed out as well.
        assert len(held) >= 5
        assert [delivery.envelope.message_id for delivery in held] == [f"wamid.{n}" for n in range(len(held))]
        for delivery in deliveries:
            await delivery.ack()
    assert await settled_depth(queue, name, ready=0, dead=0)


async def test_a_message_that_kills_its_consumers_is_put_aside(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1))
    for time_ in range(DELIVERY_LIMIT + 1):
        async with queue.consume([name], prefetch=1) as consumer:
            assert (await take(consumer)).redelivered is (time_ > 0)
    assert await settled_depth(queue, name, ready=0, dead=1)


async def test_closing_gives_back_what_is_in_hand(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    for number in range(3):
        await queue.publish(name, envelope(number))
    async with queue.consume([name], prefetch=5) as consumer:
        stale = await take(consumer)
    with pytest.raises(DeliveryLost):
        await stale.ack()
    async with queue.consume([name], prefetch=5) as consumer:
        assert [(await take(consumer)).envelope.message_id for _ in range(3)] == [
            "wamid.0",
            "wamid.1",
            "wamid.2",
        ]


async def test_after_stop_what_is_in_hand_can_still_be_settled(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    for number in range(3):
        await queue.publish(name, envelope(number))
    async with queue.consume([name], prefetch=2) as consumer:
        delivery = await take(consumer)
        await consumer.stop()
        with pytest.raises(StopAsyncIteration):
            await anext(consumer)
        await delivery.ack()
    assert await settled_depth(queue, name, ready=2, dead=0)


async def test_nothing_overtakes_what_a_stopped_consumer_has_in_hand(
    installation: QueueInstallation,
) -> None:
    one, two, name = await installation.open(), await installation.open(), installation.name()
    for number in range(4):
        await one.publish(name, envelope(number, "a"))
    async with two.consume([name], prefetch=5) as later:
        async with one.consume([name], prefetch=2) as leaving:
            delivery = await take(leaving)
            await leaving.stop()
            assert await nothing_comes(later, 0.5)
            await delivery.ack()
        for number in (1, 2, 3):
            following = await take(later)
            assert following.envelope.message_id == f"wamid.{number}"
            await following.ack()


async def test_stop_ends_a_waiting_iteration(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()

    async def iterate() -> int:
        return len([delivery async for delivery in consumer])

    async with queue.consume([name], prefetch=2) as consumer:
        waiting = asyncio.create_task(iterate())
        await asyncio.sleep(0)
        await consumer.stop()
        assert await asyncio.wait_for(waiting, 5) == 0


async def test_queues_are_added_and_removed_while_it_runs(installation: QueueInstallation) -> None:
    queue, one, two = await installation.open(), installation.name(), installation.name()
    async with queue.consume(prefetch=2) as consumer:
        assert await nothing_comes(consumer, 0.1)
        await consumer.add(one)
        await consumer.add(one)
        await queue.publish(one, envelope(1))
        held = await take(consumer)
        await consumer.add(two)
        await queue.publish(two, envelope(2))
        await (await take(consumer)).ack()
        await consumer.remove(one)
        await queue.publish(one, envelope(3))
        assert await nothing_comes(consumer, 0.3)
        await held.ack()
        await consumer.add(one)
        assert (await take(consumer)).envelope.message_id == "wamid.3"


async def test_declaring_again_changes_nothing(installation: QueueInstallation) -> None:
    one, two, name = await installation.open(), await installation.open(), installation.name()
    await one.publish(name, envelope(1))
    for queue in (one, one, two):
        await queue.declare(name)
        await queue.ping()
    assert await settled_depth(two, name, ready=1, dead=0)


async def test_messages_wait_for_a_consumer(installation: QueueInstallation) -> None:
    """The gateway works without the worker."""
    publisher, name = await installation.open(), installation.name()
    await publisher.publish(name, envelope(1))
    await publisher.close()
    queue = await installation.open()
    async with queue.consume([name], prefetch=1) as consumer:
        await (await take(consumer)).ack()


async def test_a_consumer_sees_what_another_process_publishes(installation: QueueInstallation) -> None:
    publisher, queue, name = await installation.open(), await installation.open(), installation.name()
    async with queue.consume([name], prefetch=1) as consumer:
        assert await nothing_comes(consumer, 0.2)
        await publisher.publish(name, envelope(1))
        begun = time.monotonic()
        await (await take(consumer)).ack()
        assert time.monotonic() - begun < 1.0


async def test_a_thousand_messages_two_consumers_none_lost(installation: QueueInstallation) -> None:
    """Two processes' worth of consumers, retries, parkings and one that leaves in the middle."""
    publisher, name = await installation.open(), installation.name()
    handles = [await installation.open(), await installation.open()]
    settled: list[str] = []
    in_hand: set[str] = set()
    order: dict[str, list[int]] = {}
    total = 1000
    done = asyncio.Event()

    left: list[Queue] = []

    async def work(queue: Queue) -> None:
        async with queue.consume([name], prefetch=10) as consumer:
            handled = 0
            async for delivery in consumer:
                key, number = delivery.envelope.ordering_key, int(delivery.envelope.message_id[6:])
                assert key not in in_hand
                in_hand.add(key)
                await asyncio.sleep(0)
                in_hand.discard(key)
                if number % 97 == 0 and delivery.tries == 0:
                    await delivery.retry(0.25, reason="once")
                    continue
                order.setdefault(key, []).append(number)
                await delivery.ack()
                settled.append(delivery.envelope.message_id)
                handled += 1
                if len(set(settled)) == total:
                    done.set()
                # Whoever comes so far first: on RabbitMQ one of the two is active and the other stands by.
                if handled == 200 and not left:
                    left.append(queue)
                    return

    async def publish() -> None:
        for begin in range(0, total, 50):
            numbers = range(max(begin, 1), begin + 50)
            await asyncio.gather(*(publisher.publish(name, envelope(n, f"k{n % 37}")) for n in numbers))

    # The first publish registers the publisher at its queue, which a RabbitMQ node that is slow refuses (it
    # never tried to store the message); what follows is not refused.
    async with asyncio.timeout(30):
        while True:
            try:
                await publisher.publish(name, envelope(0, "k0"))
                break
            except QueueUnavailable:
                await asyncio.sleep(0.2)
    workers = [asyncio.create_task(work(handle)) for handle in handles]
    await publish()
    await asyncio.wait_for(done.wait(), 60)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert len(left) == 1
    assert len(settled) == len(set(settled)) == total
    for numbers in order.values():
        kept = [number for number in numbers if number % 97]
        assert kept == sorted(kept)
    assert await settled_depth(publisher, name, ready=0, dead=0)
