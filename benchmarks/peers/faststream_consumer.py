"""A FastStream consumer: takes a message, makes the call, acknowledges."""

from __future__ import annotations

import asyncio
import logging
import signal

import grpc
import uvloop
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from faststream.rabbit.annotations import RabbitMessage

from benchmarks.peers.work import Figures, Plan


async def main() -> None:
    """Consume until SIGTERM."""
    plan = Plan()
    figures = Figures(plan.figures)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    broker = RabbitBroker(
        plan.url,
        default_channel=Channel(prefetch_count=plan.prefetch),
        logger=logging.getLogger("quiet"),
        log_level=logging.DEBUG,
    )
    async with grpc.aio.insecure_channel(plan.target) as channel:
        call = channel.unary_unary(plan.method)

        async def handle(body: bytes, message: RabbitMessage) -> None:
            await call(body, timeout=30, metadata=plan.metadata)
            figures.done(message.message_id)

        for name in plan.queues:
            broker.subscriber(RabbitQueue(name, queue_type=QueueType.QUORUM, durable=True))(handle)
        async with broker:
            await broker.start()
            await stop.wait()


if __name__ == "__main__":
    uvloop.run(main())
