"""What waits for what, on both implementations: a conversation in order, the others beside it."""

import pytest

from tests.integration.queue.conftest import QueueInstallation, envelope, nothing_comes, take

pytestmark = pytest.mark.timeout(90)


async def test_first_in_first_out(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    for number in range(30):
        await queue.publish(name, envelope(number))
    async with queue.consume([name], prefetch=4) as consumer:
        seen = []
        for _ in range(30):
            delivery = await take(consumer)
            seen.append(delivery.envelope.message_id)
            await delivery.ack()
    assert seen == [f"wamid.{number}" for number in range(30)]


async def test_one_conversation_is_never_in_hand_twice(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    for number, key in enumerate(["a", "a", "b", "a"]):
        await queue.publish(name, envelope(number, key))
    async with queue.consume([name], prefetch=10) as consumer:
        first, other = await take(consumer), await take(consumer)
        assert [first.envelope.message_id, other.envelope.message_id] == ["wamid.0", "wamid.2"]
        assert await nothing_comes(consumer, 0.3)
        await first.ack()
        second = await take(consumer)
        assert second.envelope.message_id == "wamid.1"
        await second.ack()
        assert (await take(consumer)).envelope.message_id == "wamid.3"


async def test_one_conversation_is_never_in_hand_twice_across_processes(
    installation: QueueInstallation,
) -> None:
    one, two, name = await installation.open(), await installation.open(), installation.name()
    for number in range(3):
        await one.publish(name, envelope(number, "a"))
    # Prefetch 1, so that the second handle could have the rest if it were allowed to.
    async with one.consume([name], prefetch=1) as first, two.consume([name], prefetch=5) as second:
        delivery = await take(first)
        assert await nothing_comes(second, 0.5)
        await delivery.ack()


async def test_a_conversation_of_which_many_wait_keeps_no_other_waiting(
    installation: QueueInstallation,
) -> None:
    queue, name = await installation.open(), installation.name()
    for number, key in enumerate([*["busy"] * 8, "other", "third"]):
        await queue.publish(name, envelope(number, key))
    async with queue.consume([name], prefetch=2) as consumer:
        first, other = await take(consumer), await take(consumer)
        assert [first.envelope.message_id, other.envelope.message_id] == ["wamid.0", "wamid.8"]
        # Two are in hand: the third waits all the same.
        assert await nothing_comes(consumer, 0.3)
        await other.ack()
        third = await take(consumer)
        assert third.envelope.message_id == "wamid.9"
        await third.ack()
        await first.ack()
        for number in range(1, 8):
            following = await take(consumer)
            assert following.envelope.message_id == f"wamid.{number}"
            await following.ack()


async def test_more_of_one_conversation_than_is_ever_looked_at_keep_no_other_waiting(
    installation: QueueInstallation,
) -> None:
    """As the worker does it: the first is recorded and takes long, others are recorded and parked."""
    queue, name = await installation.open(), installation.name()
    for number in range(60):
        await queue.publish(name, envelope(number, "busy"))
    await queue.publish(name, envelope(60, "other"))
    async with queue.consume([name], prefetch=2) as consumer:
        first = await take(consumer)
        first.recorded()
        passed = []
        while (delivery := await take(consumer)).envelope.ordering_key == "busy":
            passed.append(delivery.envelope.message_id)
            delivery.recorded()
            await delivery.park(3600)
        assert delivery.envelope.message_id == "wamid.60"
        assert passed == [f"wamid.{number}" for number in range(1, len(passed) + 1)]
        await delivery.ack()
        await first.ack()


async def test_nothing_passes_a_message_that_nobody_has_recorded(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    for number in range(25):
        await queue.publish(name, envelope(number, "busy"))
    async with queue.consume([name], prefetch=2) as consumer:
        first = await take(consumer)
        assert await nothing_comes(consumer, 0.5)
        await first.ack()
        assert (await take(consumer)).envelope.message_id == "wamid.1"


async def test_prefetch_bounds_what_is_in_hand_per_queue(installation: QueueInstallation) -> None:
    queue, busy, quiet = await installation.open(), installation.name(), installation.name()
    for number in range(6):
        await queue.publish(busy, envelope(number))
    await queue.publish(quiet, envelope(99))
    async with queue.consume([busy, quiet], prefetch=2) as consumer:
        three = [await take(consumer) for _ in range(3)]
        assert sorted(d.queue == quiet for d in three) == [False, False, True]
        assert await nothing_comes(consumer, 0.3)
        await next(d for d in three if d.queue == busy).ack()
        assert (await take(consumer)).envelope.message_id == "wamid.2"
