"""A Celery worker, one process (`--pool solo`): takes a task, makes the call, acknowledges."""

from __future__ import annotations

import base64
from typing import Any

import grpc
from celery import Celery, Task
from kombu import Queue

from benchmarks.peers.work import Figures, Plan

plan = Plan()
figures = Figures(plan.figures)
app = Celery("peer", broker=plan.url)
app.conf.update(
    task_queues=[
        Queue(name, routing_key=name, queue_arguments={"x-queue-type": "quorum"}) for name in plan.queues
    ],
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=plan.prefetch,
    worker_detect_quorum_queues=True,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
)
_call = grpc.insecure_channel(plan.target).unary_unary(plan.method)


@app.task(bind=True, name="benchmark.handle")
def handle(self: Task[Any, Any], body: str) -> None:
    """One message."""
    _call(base64.b64decode(body), timeout=30, metadata=plan.metadata)
    figures.done(self.request.id)
