"""Which queue an installation has."""

from __future__ import annotations

from pathlib import Path

from services.common.queue.port import Queue


def open_queue(rabbitmq_url: str | None, embedded_path: Path) -> Queue:
    """The queue of this installation, not opened yet: RabbitMQ when a URL is given, else the embedded file.

    The implementations are imported here so that a process pays only for the one it uses.
    """
    if rabbitmq_url:
        from services.common.queue.amqp import AmqpQueue

        return AmqpQueue(rabbitmq_url)
    from services.common.queue.embedded import EmbeddedQueue

    return EmbeddedQueue(embedded_path)
