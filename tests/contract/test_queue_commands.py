"""`metachat dead-letters` and `metachat queues`, run against a real server as an operator runs them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import aio_pika
import pytest

from services.common.queue.topology import RETURNS, Partitions, QueueName
from tests.contract import test_queues
from tests.contract.escalation_server import OPERATOR
from tests.contract.test_queues import Place, inbound

place = test_queues.place


@pytest.fixture(scope="module")
def rabbitmq_url(own_rabbitmq_url: str) -> str:
    """An exchange is taken away here, under everybody who shares the broker."""
    return own_rabbitmq_url


pytestmark = pytest.mark.timeout(120)
ROOT = Path(__file__).parents[2]


async def metachat(place: Place, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit code and all that was printed."""
    installation = {
        "METACHAT_ADDRESS": place.world.address,
        "METACHAT_TOKEN": OPERATOR.reveal(),
        "METACHAT_DATA_FOLDER": str(place.world.folder),
        "QUEUE_PARTITIONS": str(place.partitions.count),
    }
    installation["RABBITMQ_URL"] = place.url or ""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *arguments,
        cwd=ROOT,
        env={**os.environ, **installation, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
async def test_dead_letters_are_listed_shown_replayed_and_discarded(place: Place) -> None:
    ids = await place.put_aside(3, reason="the model answered <b>HTML</b>")
    code, printed = await metachat(place, "dead-letters", "list", place.tenant)
    assert code == 0, printed
    assert all(identity in printed for identity in ids)
    code, printed = await metachat(place, "dead-letters", "list", "--search", "parcel 2", "--json")
    assert ids[2] in {row["id"] for row in json.loads(printed)}
    code, printed = await metachat(place, "dead-letters", "show", place.tenant, ids[1])
    assert "the model answered <b>HTML</b>" in printed
    assert '"text": "Where is parcel 1? Grüße"' in printed
    code, printed = await metachat(place, "dead-letters", "replay", place.tenant, ids[0])
    assert (code, printed) == (0, "1 put back\n")
    code, printed = await metachat(place, "dead-letters", "discard", place.tenant, ids[0], ids[1], "--yes")
    assert code == 1
    assert "1 removed" in printed
    assert f"not there any more: {ids[0]}" in printed
    code, printed = await metachat(place, "dead-letters", "discard", place.tenant, "--all", "--yes")
    assert (code, printed) == (0, "1 removed\n")
    code, printed = await metachat(place, "dead-letters", "list", place.tenant)
    assert (code, printed) == (0, "nothing was put aside\n")
    code, printed = await metachat(place, "dead-letters", "replay", place.tenant, ids[0], "--all")
    assert code == 2
    assert "--all" in printed
    code, printed = await metachat(place, "queues", "list", place.tenant, "--json")
    assert [row["direction"] for row in json.loads(printed)] == ["inbound", "outbound"]
    code, printed = await metachat(place, "dead-letters", "show", place.tenant, "nonsense")
    assert (code, printed) == (1, "Error: there is no such dead letter (any more)\n")


async def test_queues_of_another_number_are_emptied_into_todays(place: Place) -> None:
    before = 5 if place.partitions.count == 1 else 1
    whole = QueueName(place.tenant, "whatsapp", "inbound")
    for number in range(12):
        await place.queue.publish(Partitions(before).of(whole, str(number)), inbound(place.tenant, number))
    code, printed = await metachat(place, "queues", "migrate", QUEUE_PARTITIONS_BEFORE=str(before))
    assert code == 0, printed
    assert "messages moved" in printed
    seen = set()
    async with place.queue.consume(place.partitions.all(whole), prefetch=20) as consumer:
        for _ in range(12):
            delivery = await asyncio.wait_for(anext(consumer), 10)
            seen.add(delivery.envelope.message_id)
            await delivery.ack()
    assert seen == {f"wamid.{number}" for number in range(12)}
    old = Partitions(place.partitions.count, before).old(whole)
    assert [depth.ready for depth in await place.queue.depths(old)] == [0] * len(old)


@pytest.mark.parametrize("place", [pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)], indirect=True)
async def test_an_exchange_of_another_kind_is_made_anew_and_each_step_said(place: Place) -> None:
    connection = await aio_pika.connect(place.url or "")
    async with connection, connection.channel() as channel:
        await channel.exchange_delete(RETURNS)
        await channel.declare_exchange(RETURNS, aio_pika.ExchangeType.DIRECT, durable=True)
    code, printed = await metachat(place, "queues", "migrate")
    assert code == 0, printed
    assert f"exchange {RETURNS}: of another kind, taken away\n" in printed
    assert printed.endswith(" queues are as they should be\n")
    code, again = await metachat(place, "queues", "migrate")
    assert (code, len(again.splitlines())) == (0, 1), again
