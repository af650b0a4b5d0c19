"""`metachat queues`: list, migrate."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import click
from metachat.escalation.v1 import queue_pb2, queue_pb2_grpc, tenant_pb2_grpc
from metachat.escalation.v1.tenant_pb2 import Channel, ListChannelsRequest

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.dead_letters import EVERYBODY
from services.cli.output import print_json, print_table
from services.cli.tenants import every_tenant
from services.common.installation import Installation
from services.common.queue.opening import open_queue
from services.common.queue.port import Queue, QueueInUse, QueueName, QueueUnavailable
from services.common.queue.topology import CHANNELS, DIRECTIONS, Partitions
from services.common.settings import EnvironmentReader, SettingsError


@click.group(name="queues")
def command() -> None:
    """How full the queues of the channels are; move them when their number or arguments change."""


def _queues(tenant: str) -> list[queue_pb2.QueueDepth]:
    with plain_errors(escalation_address()):
        stub = open_stub(queue_pb2_grpc.QueueServiceStub, escalation_address())
        return list(stub.ListQueues(queue_pb2.ListQueuesRequest(tenant_id=tenant)).queues)


@command.command(name="list")
@click.argument("tenant", default=EVERYBODY)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_queues(tenant: str, as_json: bool) -> None:
    """List the queues of TENANT; without a name those of all (operators)."""
    found = _queues(tenant)
    if as_json:
        print_json(found)
        return
    print_table(
        ["TENANT", "CHANNEL", "DIRECTION", "READY", "IN HAND", "DELAYED", "DEAD", "OLDEST"],
        (
            (
                row.tenant_id,
                Channel.Kind.Name(row.channel).lower(),
                f"{row.direction}.{row.partition}" if row.HasField("partition") else row.direction,
                str(row.ready),
                str(row.unacked) if row.HasField("unacked") else "-",
                str(row.delayed) if row.HasField("delayed") else "-",
                str(row.dead_letters),
                f"{row.oldest_age_seconds:.0f} s" if row.HasField("oldest_age_seconds") else "-",
            )
            for row in found
        ),
        empty="no tenant has a channel yet",
    )


@command.command()
def migrate() -> None:
    """Bring queues to the arguments and the number of partitions that this release and environment want.

    On the machine and with the environment of the installation, escalation running, the workers stopped.
    Queues of QUEUE_PARTITIONS_BEFORE are emptied into those of QUEUE_PARTITIONS and taken away; queues, retry
    queues and exchanges with other arguments are made anew. Nothing is lost when it is interrupted: run it
    again.
    """
    names = _names()
    try:
        asyncio.run(bring_up_to_date(dict(os.environ), names, click.echo))
    except (QueueInUse, QueueUnavailable, SettingsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(names)} queues are as they should be")


def _names() -> list[QueueName]:
    """Of all channels, from the tenants: the queues themselves cannot be asked while an exchange differs."""
    with plain_errors(escalation_address()):
        stub = open_stub(tenant_pb2_grpc.TenantServiceStub, escalation_address())
        channels = [
            channel
            for tenant in every_tenant(stub)
            for channel in stub.ListChannels(ListChannelsRequest(tenant_id=tenant.id)).channels
        ]
    names = {
        QueueName(channel.tenant_id, Channel.Kind.Name(channel.kind).lower(), direction)
        for channel in channels
        for direction in DIRECTIONS
        if Channel.Kind.Name(channel.kind).lower() in CHANNELS
    }
    return sorted(names, key=lambda name: name.queue)


async def bring_up_to_date(
    environment: Mapping[str, str], names: list[QueueName], told: Callable[[str], None]
) -> None:
    """A line for each change. Raises QueueInUse, QueueUnavailable, SettingsError."""
    reader = EnvironmentReader(environment)
    installation = Installation.read(reader, needs=frozenset({"queue"}))
    reader.finish()
    url = installation.rabbitmq_url.reveal() if installation.rabbitmq_url else None
    queue = open_queue(url, installation.queue_path)
    partitions = installation.partitions
    everything = [each for name in names for each in (*partitions.all(name), *partitions.old(name))]
    await queue.mend_foundations(everything, told)
    await queue.open()
    try:
        for name in names:
            await _one(queue, partitions, name, told)
    finally:
        await queue.close()


async def _one(queue: Queue, partitions: Partitions, name: QueueName, told: Callable[[str], None]) -> None:
    for current in partitions.all(name):
        moved = await queue.mend(current)
        if moved is not None:
            told(f"{current.queue}: made anew, {moved} messages kept")
    for old in partitions.old(name):
        moved = await queue.redistribute(old, lambda key: partitions.of(name, key))
        for _ in range(10):
            if await queue.retire(old, "its number of partitions was changed"):
                break
            await asyncio.sleep(0.5)
        else:
            told(f"{old.queue}: still holds messages, run it again")
            continue
        if moved:
            told(f"{old.queue}: {moved} messages moved")
