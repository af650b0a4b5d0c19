"""Dead letters and queues nobody needs any more, on both implementations."""

import asyncio
from collections.abc import Sequence

import pytest

from services.common.queue.dead_letters import DISCARD, KEEP, DeadLetter, Explain, Replay
from services.common.queue.port import Queue, QueueInUse
from services.common.queue.topology import DELIVERY_LIMIT, Partitions, QueueName
from tests.integration.queue.conftest import QueueInstallation, envelope, nothing_comes, settled_depth, take

pytestmark = pytest.mark.timeout(90)


async def put_aside(queue: Queue, name: QueueName, count: int) -> None:
    for number in range(count):
        await queue.publish(name, envelope(number, f"k{number}", trace=f"t{number}"))
    async with queue.consume([name], prefetch=count) as consumer:
        for number in range(count):
            await (await take(consumer)).dead_letter(f"reason {number}")
    assert await settled_depth(queue, name, ready=0, dead=count)


async def seen(queue: Queue, place: QueueName | None, limit: int = 100) -> list[DeadLetter]:
    letters: list[DeadLetter] = []

    def look(letter: DeadLetter) -> object:
        letters.append(letter)
        return KEEP

    assert await queue.sweep_dead_letters(place, look, limit=limit) == len(letters)  # type: ignore[arg-type]
    return letters


async def test_looking_changes_nothing(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name("outbound", 2)
    await put_aside(queue, name, 5)
    first = await seen(queue, name)
    # More often than a broker's limit of deliveries.
    for _ in range(DELIVERY_LIMIT + 5):
        async with asyncio.timeout(10):
            # What a look gives back is there again a moment later.
            while await seen(queue, name) != first:
                pass
    assert [letter.reason for letter in first] == [f"reason {number}" for number in range(5)]
    assert [letter.envelope for letter in first] == [
        envelope(number, f"k{number}", trace=f"t{number}") for number in range(5)
    ]
    assert len({letter.id for letter in first}) == 5
    assert all(letter.queue == name and letter.dead_at and letter.published_at for letter in first)
    assert not any(letter.by_broker or letter.unrouted for letter in first)
    assert [letter.id for letter in await seen(queue, name, limit=2)] == [letter.id for letter in first[:2]]
    assert await settled_depth(queue, name, ready=0, dead=5)


async def test_a_place_without_dead_letters_is_empty(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    assert await seen(queue, name) == []
    await queue.declare(name)
    assert await seen(queue, name) == []


async def test_copies_that_are_alike_have_ids_of_their_own(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    for _ in range(3):
        await queue.publish(name, envelope(1))
    async with queue.consume([name], prefetch=3) as consumer:
        for _ in range(3):
            await (await take(consumer)).dead_letter("x")
    assert await settled_depth(queue, name, ready=0, dead=3)
    letters = await seen(queue, name)
    assert len({letter.id for letter in letters}) == 3
    wanted = letters[1].id
    await queue.sweep_dead_letters(name, lambda letter: DISCARD if letter.id == wanted else KEEP, limit=10)
    assert len(await seen(queue, name)) == 2


async def test_a_replay_comes_again_as_if_new_at_the_end(installation: QueueInstallation) -> None:
    queue, name, other = await installation.open(), installation.name(), installation.name()
    await queue.publish(name, envelope(1, "a", trace="t"))
    async with queue.consume([name], prefetch=1) as consumer:
        await (await take(consumer)).retry(0.25, reason="first")
        await (await take(consumer)).dead_letter("second")
    assert await settled_depth(queue, name, ready=0, dead=1)
    await queue.publish(name, envelope(2, "a"))
    shown = await queue.sweep_dead_letters(name, lambda letter: Replay(name), limit=10)
    assert shown == 1
    async with queue.consume([name], prefetch=5) as consumer:
        await (await take(consumer)).ack()
        again = await take(consumer)
        assert again.envelope == envelope(1, "a", trace="t")
        assert (again.tries, again.history.first_failure, again.redelivered) == (0, "", False)
        await again.dead_letter("once more")
    assert await settled_depth(queue, name, ready=0, dead=1)
    # Into a queue that does not exist yet: a partition that came later.
    await queue.sweep_dead_letters(name, lambda letter: Replay(other), limit=10)
    async with queue.consume([other], prefetch=5) as consumer:
        assert (await take(consumer)).envelope.message_id == "wamid.1"


async def test_two_operators_at_once_replay_each_message_once(installation: QueueInstallation) -> None:
    one, two, name = await installation.open(), await installation.open(), installation.name()
    await put_aside(one, name, 20)

    async def replay(queue: Queue) -> int:
        return await queue.sweep_dead_letters(name, lambda letter: Replay(name), limit=100)

    counts = await asyncio.gather(replay(one), replay(two), replay(one))
    assert sorted(counts) == [0, 0, 20]
    assert await settled_depth(one, name, ready=20, dead=0)


async def test_what_nobody_gave_a_reason_for_is_told_apart_and_can_be_explained(
    installation: QueueInstallation,
) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1, "a"))
    for time_ in range(DELIVERY_LIMIT + 1):
        async with queue.consume([name], prefetch=1) as consumer:
            assert (await take(consumer)).redeliveries == time_
    assert await settled_depth(queue, name, ready=0, dead=1)
    (letter,) = await seen(queue, name)
    assert letter.by_broker
    assert letter.reason.startswith("delivery_limit: handed out too often")
    assert (letter.envelope, letter.queue) == (envelope(1, "a"), name)
    assert letter.dead_at > 0
    await queue.sweep_dead_letters(name, lambda _: Explain("told a person"), limit=10)
    assert await settled_depth(queue, name, ready=0, dead=1)
    (explained,) = await seen(queue, name)
    assert (explained.by_broker, explained.reason) == (False, "told a person")
    assert explained.envelope == letter.envelope


async def test_a_dead_letter_that_nobody_could_be_told_of_says_so_until_somebody_was(
    installation: QueueInstallation,
) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1, "a"))
    async with queue.consume([name], prefetch=1) as consumer:
        delivery = await take(consumer)
        delivery.count_try("first")
        delivery.count_try("second")
        assert delivery.tries == 2
        await delivery.dead_letter("no person", told=False)
    assert await settled_depth(queue, name, ready=0, dead=1)
    (letter,) = await seen(queue, name)
    assert (letter.untold, letter.by_broker, letter.reason) == (True, False, "no person")
    assert (letter.history.tries, letter.history.first_failure) == (2, "first")
    assert letter.envelope == envelope(1, "a")
    await queue.sweep_dead_letters(name, lambda letter: Explain(letter.reason), limit=10)
    assert await settled_depth(queue, name, ready=0, dead=1)
    (told,) = await seen(queue, name)
    assert (told.untold, told.reason, told.envelope) == (False, "no person", envelope(1, "a"))


async def test_a_queue_in_use_is_not_retired(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    await queue.publish(name, envelope(1))
    async with queue.consume([name], prefetch=1) as consumer:
        delivery = await take(consumer)
        assert not await queue.retire(name, "gone")
        await delivery.ack()
    assert await settled_depth(queue, name, ready=0, dead=0)


async def test_what_a_retired_queue_held_is_not_lost(installation: QueueInstallation) -> None:
    queue, name = await installation.open(), installation.name()
    await put_aside(queue, name, 2)
    for number in (7, 8):
        await queue.publish(name, envelope(number, "a"))
    while not await queue.retire(name, "the tenant was deleted"):  # noqa: ASYNC110 - the broker has no event
        await asyncio.sleep(0.05)
    assert await settled_depth(queue, name, ready=0, dead=0)
    mine = [letter for letter in await seen(queue, None, limit=1000) if letter.queue == name]
    assert sorted((letter.envelope.message_id, letter.reason) for letter in mine) == [
        ("wamid.0", "reason 0"),
        ("wamid.1", "reason 1"),
        ("wamid.7", "the tenant was deleted"),
        ("wamid.8", "the tenant was deleted"),
    ]
    assert all(letter.unrouted and not letter.by_broker for letter in mine)
    assert await queue.retire(name, "again")
    # The tenant is back: an operator can still have them handled.
    back = await queue.sweep_dead_letters(
        None, lambda letter: Replay(name) if letter.queue == name else KEEP, limit=1000
    )
    assert back >= 4
    async with queue.consume([name], prefetch=5) as consumer:
        for _ in range(4):
            await (await take(consumer)).ack()
        assert await nothing_comes(consumer, 0.2)
    assert [letter for letter in await seen(queue, None, limit=1000) if letter.queue == name] == []


async def test_depths_of_many_and_what_waits_to_return(installation: QueueInstallation) -> None:
    queue, one, two = await installation.open(), installation.name(), installation.name()
    await queue.publish(one, envelope(1))
    await queue.publish(two, envelope(2))
    async with queue.consume([two], prefetch=1) as consumer:
        before = sum((await queue.waiting_to_return()).values())
        await (await take(consumer)).retry(300, reason="x")
        async with asyncio.timeout(10):
            while sum((await queue.waiting_to_return()).values()) == before:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.05)
    depths = await queue.depths([one, QueueName("nobody", "whatsapp", "inbound"), two])
    assert [(depth.ready, depth.dead_letters) for depth in depths] == [(1, 0), (0, 0), (0, 0)]


async def waiting(queue: Queue, names: Sequence[QueueName]) -> int:
    return sum(depth.ready + (depth.delayed or 0) for depth in await queue.depths(names))


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
async def test_messages_move_to_another_number_of_partitions_in_order(
    installation: QueueInstallation, before: int, after: int
) -> None:
    queue, name = await installation.open(), installation.name()
    old, new = Partitions(before), Partitions(after, before)
    for partition in {*old.all(name), *new.all(name)}:
        installation.adopt(partition)
    for number in range(24):
        key = f"k{number % 5}"
        await queue.publish(old.of(name, key), envelope(number, key))
    busy = old.of(name, "k0")
    async with queue.consume([busy], prefetch=1) as consumer:
        await (await take(consumer)).retry(0.25, reason="once")
        await take(consumer)
        with pytest.raises(QueueInUse, match="stop the workers"):
            await queue.redistribute(busy, lambda key: new.of(name, key))
    async with asyncio.timeout(10):
        while await waiting(queue, old.all(name)) != 24:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    moved = 0
    async with asyncio.timeout(20):
        for partition in new.old(name):
            moved += await queue.redistribute(partition, lambda key: new.of(name, key))
            while not await queue.retire(partition, "moved"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    order: dict[str, list[int]] = {}
    tries = []
    async with queue.consume(new.all(name), prefetch=3) as consumer:
        for _ in range(24):
            delivery = await take(consumer)
            number = int(delivery.envelope.message_id[6:])
            tries.append(delivery.tries)
            if number:  # the one that waited for its retry came back behind the others
                order.setdefault(delivery.envelope.ordering_key, []).append(number)
            await delivery.ack()
    assert sum(tries) == 1
    assert sorted(number for numbers in order.values() for number in numbers) == list(range(1, 24))
    assert all(numbers == sorted(numbers) for numbers in order.values())
