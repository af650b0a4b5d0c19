"""Exchanges and retry queues of another kind are made anew, from wherever a run before was interrupted."""

import asyncio
from contextlib import suppress

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from services.common.queue import topology
from services.common.queue.amqp import AmqpQueue
from services.common.queue.port import QueueInUse, QueueUnavailable, Retry
from services.common.queue.topology import QueueName
from tests.integration.queue.conftest import QueueInstallation, envelope, nothing_comes, settled_depth, take
from tests.integration.queue.rabbitmq_ground import opened, plain_channel

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def rabbitmq_url(own_rabbitmq_url: str) -> str:
    """Exchanges are taken away here, under everybody who shares the broker."""
    return own_rabbitmq_url


RUNG = topology.RETRY_LADDER[-1]
WAITING = 5
ALL_EXCHANGES = (
    topology.ORCHESTRATOR,
    topology.DEAD_LETTERS,
    topology.EVENTS,
    topology.RETURNS,
    topology.UNROUTED,
    topology.retry_exchange(RUNG),
)


class Interrupted(Exception):
    """As if the process had been ended at this place."""


class Run:
    """Remembers the steps it is told, and ends at one of them."""

    def __init__(self, until: int | None = None) -> None:
        self.lines: list[str] = []
        self._until = until

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if len(self.lines) == self._until:
            raise Interrupted(line)


async def migrate(url: str, name: QueueName, run: Run) -> None:
    await AmqpQueue(url).mend_foundations([name], run)


async def make_foreign(channel: AbstractChannel, name: QueueName) -> None:
    """Every exchange of another kind, and a retry queue of another make with messages in it."""
    for wrong in ALL_EXCHANGES:
        await channel.exchange_delete(wrong)
        await channel.declare_exchange(wrong, aio_pika.ExchangeType.DIRECT, durable=True)
    queue = await channel.get_queue(name.queue)
    for bound in (topology.ORCHESTRATOR, topology.RETURNS):
        await queue.bind(bound, name.routing_key)
    await channel.queue_delete(topology.retry_queue(RUNG))
    retry = await channel.declare_queue(
        topology.retry_queue(RUNG),
        durable=True,
        arguments={"x-message-ttl": 900_000, "x-dead-letter-exchange": topology.RETURNS},
    )
    for key in (name.routing_key, "tenant.gone.channel.whatsapp.inbound"):
        await retry.bind(topology.retry_exchange(RUNG), key)
    exchange = await channel.get_exchange(topology.retry_exchange(RUNG))
    for number in range(WAITING):
        message = aio_pika.Message(
            b"x", message_id=f"waited-{number}", type="some.Type", headers={topology.TRIES: 2}
        )
        await exchange.publish(message, name.routing_key)


async def confirmed(url: str, name: QueueName, number: int) -> bool:
    """What a gateway does meanwhile, and whether it was told that it worked."""
    async with opened(url) as queue:
        with suppress(QueueUnavailable):
            await queue.publish(name, envelope(number), timeout=2.0)
            return True
    return False


async def stands(url: str, name: QueueName, expected: set[str]) -> None:
    """Everything that waited or was confirmed comes, and each way through the broker is open again."""
    async with opened(url) as queue:
        await queue.publish(name, envelope(1))
        seen: dict[str, int] = {}
        async with queue.consume([name], prefetch=10) as consumer:
            while expected - seen.keys() or "wamid.1" not in seen:
                delivery = await take(consumer)
                seen[delivery.envelope.message_id] = delivery.tries
                if delivery.envelope.message_id == "wamid.1":
                    await delivery.dead_letter("for the test")
                else:
                    await delivery.ack()
            assert await nothing_comes(consumer, 0.2)
            assert seen.keys() == expected | {"wamid.1"}
            assert {seen[f"waited-{number}"] for number in range(WAITING)} == {2}
            await queue.publish(name, envelope(2))
            await (await take(consumer)).retry(0.1, reason="again")
            again = await take(consumer)
            assert (again.envelope.message_id, again.tries) == ("wamid.2", 1)
            await again.retry(RUNG, reason="much later")
        assert await settled_depth(queue, name, ready=0, dead=1)
        assert not queue.conflicts
        run = Run()
        await migrate(url, name, run)
        assert run.lines == []
    async with plain_channel(url) as channel:
        retry = await channel.get_queue(topology.retry_queue(RUNG))
        assert (await retry.purge()).message_count == 1
        unrouted = await channel.get_queue(topology.UNROUTED_QUEUE)
        assert await unrouted.get(fail=False) is None
        await (await channel.get_queue(name.dead_letter)).purge()


async def restore(url: str) -> None:
    async with plain_channel(url) as channel:
        await channel.queue_delete(topology.retry_queue(RUNG))
        for exchange in ALL_EXCHANGES:
            await channel.exchange_delete(exchange)
    async with opened(url) as queue:
        await queue.ping()


async def interrupted_at(broker: QueueInstallation, step: int | None) -> Run:
    """One run that ends at a step, what a gateway does then, and the next run; gives the first."""
    name = broker.name()
    async with opened(broker.url) as queue:
        await queue.declare(name)
    try:
        async with plain_channel(broker.url) as channel:
            await make_foreign(channel, name)
        run = Run(step)
        with suppress(Interrupted):
            await migrate(broker.url, name, run)
        expected = {f"waited-{number}" for number in range(WAITING)}
        if await confirmed(broker.url, name, 99):
            expected.add("wamid.99")
        await migrate(broker.url, name, Run())
        await stands(broker.url, name, expected)
    finally:
        await restore(broker.url)
    return run


async def test_what_is_of_another_kind_is_made_anew(broker: QueueInstallation) -> None:
    run = await interrupted_at(broker, None)
    for exchange in ALL_EXCHANGES:
        assert any(exchange in line for line in run.lines)
    assert f"{topology.retry_queue(RUNG)}: {WAITING} messages returned at once" in run.lines


@pytest.mark.parametrize("step", [1, 3, 8, 15])
async def test_an_interrupted_run_is_run_again(broker: QueueInstallation, step: int) -> None:
    assert len((await interrupted_at(broker, step)).lines) == step


@pytest.mark.long
async def test_it_may_be_interrupted_at_each_step(broker: QueueInstallation) -> None:
    steps = len((await interrupted_at(broker, None)).lines)
    for step in range(1, steps + 1):
        await interrupted_at(broker, step)


async def test_a_retry_of_a_queue_that_is_gone_goes_to_the_lost_ones(broker: QueueInstallation) -> None:
    name = broker.name()
    async with opened(broker.url) as queue:
        await queue.declare(name)
    try:
        async with plain_channel(broker.url) as channel:
            await make_foreign(channel, name)
            exchange = await channel.get_exchange(topology.retry_exchange(RUNG))
            gone = "tenant.gone.channel.whatsapp.inbound"
            await exchange.publish(aio_pika.Message(b"x", message_id="lost", type="some.Type"), gone)
            # Its own kind of unrouted exchange would take nothing: the run before got as far as that.
            await migrate(broker.url, name, Run())
            unrouted = await channel.get_queue(topology.UNROUTED_QUEUE)
            message = await unrouted.get(timeout=5)
            assert (message.message_id, message.routing_key) == ("lost", gone)
            await message.ack()
    finally:
        await restore(broker.url)


async def test_without_the_exchange_of_those_that_return_retry_queues_wait_for_another_run(
    broker: QueueInstallation,
) -> None:
    """The broker may still hold on to what came due, and a queue that is deleted takes that with it."""
    name = broker.name()
    async with opened(broker.url) as queue:
        await queue.declare(name)
    try:
        async with plain_channel(broker.url) as channel:
            await make_foreign(channel, name)
            await channel.exchange_delete(topology.RETURNS)
        first, second = Run(), Run()
        await migrate(broker.url, name, first)
        assert f"{topology.retry_queue(RUNG)}: other arguments; run it again in five minutes" in first.lines
        await migrate(broker.url, name, second)
        assert f"{topology.retry_queue(RUNG)}: {WAITING} messages returned at once" in second.lines
        await stands(broker.url, name, {f"waited-{number}" for number in range(WAITING)})
    finally:
        await restore(broker.url)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("until", ["taken away", "stands"])
async def test_what_comes_due_while_an_exchange_is_away_comes_later(
    broker: QueueInstallation, until: str
) -> None:
    """The broker keeps it, and tries again by itself after three minutes; nothing of it counts as lost."""
    name = broker.name()
    async with opened(broker.url) as queue:
        await queue.declare(name)
        await queue.publish_again(name, envelope(7), Retry(1), published_at=0.0, delay=5.0)
    try:
        async with plain_channel(broker.url) as channel:
            await channel.exchange_delete(topology.RETURNS)
            await channel.declare_exchange(topology.RETURNS, aio_pika.ExchangeType.DIRECT, durable=True)

        def interrupt(line: str) -> None:
            if line.startswith(f"exchange {topology.RETURNS}") and line.endswith(until):
                raise Interrupted(line)

        with pytest.raises(Interrupted):
            await AmqpQueue(broker.url).mend_foundations([name], interrupt)
        await asyncio.sleep(7)  # it comes due
        await migrate(broker.url, name, Run())
        async with opened(broker.url) as queue, queue.consume([name], prefetch=1) as consumer:
            delivery = await take(consumer, 400)
            assert (delivery.envelope.message_id, delivery.tries) == ("wamid.7", 1)
            await delivery.ack()
        async with plain_channel(broker.url) as channel:
            assert await (await channel.get_queue(topology.UNROUTED_QUEUE)).get(fail=False) is None
    finally:
        await restore(broker.url)


async def test_it_waits_for_the_workers_to_stop(broker: QueueInstallation) -> None:
    name = broker.name()
    async with opened(broker.url) as queue:
        await queue.publish(name, envelope(1))
        async with queue.consume([name], prefetch=1) as consumer:
            await take(consumer)
            try:
                async with plain_channel(broker.url) as channel:
                    await channel.exchange_delete(topology.EVENTS)
                    await channel.declare_exchange(topology.EVENTS, aio_pika.ExchangeType.DIRECT)
                with pytest.raises(QueueInUse, match="stop the workers"):
                    await migrate(broker.url, name, Run())
            finally:
                await restore(broker.url)


async def test_a_retry_finds_its_queue_again_after_somebody_took_it_away(broker: QueueInstallation) -> None:
    name = broker.name()
    async with opened(broker.url) as queue, plain_channel(broker.url) as channel:
        await queue.publish_again(name, envelope(1), Retry(), published_at=0.0, delay=RUNG)
        await channel.queue_delete(topology.retry_queue(RUNG))
        await queue.publish(name, envelope(2))
        async with queue.consume([name], prefetch=1) as consumer:
            async with asyncio.timeout(10):
                await (await take(consumer)).retry(RUNG, reason="later")
        retry = await channel.get_queue(topology.retry_queue(RUNG))
        assert (await retry.purge()).message_count == 1
