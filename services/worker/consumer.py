"""Takes messages from the queues, has them handled side by side, and settles them.

The queue keeps messages of one conversation apart in time and bounds what is in hand per queue; here stand
the bound over all queues, the visibility timeout, the drain, and the end of messages that kill workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping
from typing import Final, Protocol

from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger, turn_context
from services.common.queue.port import Consumer, Delivery, QueueUnavailable
from services.common.queue.topology import DELIVERY_LIMIT
from services.common.telemetry import continued
from services.worker import metrics
from services.worker.retry import pause_in_hand
from services.worker.settling import ComeBack, Done, KeepInHand, PutAside, Settlement, TryAgain

_log = get_logger(__name__)

# Handed out so often and never settled, it may be what ends the workers: it is not handled again at once but
# counts as a failed try, before the queue itself would put it aside without a word to anybody. Many times,
# because what waits in hand is handed out again too whenever a connection breaks or a queue goes to another
# worker, and a try costs it its place.
_SUSPECT: Final = DELIVERY_LIMIT - 6
# So often a message whose handling takes too long is handled again in its place, where nothing of its
# conversation overtakes it, before it counts as a failed try.
_LATE: Final = 2


class Handler(Protocol):
    """Handles the messages of one direction."""

    async def handle(self, delivery: Delivery) -> Settlement:
        """What is to become of it."""
        ...

    async def failed(self, delivery: Delivery, error: ServiceError) -> Settlement:
        """What is to become of it after a failure that `handle` did not see."""
        ...


class ConsumerLoop:
    """Runs until it is stopped; what is not finished in time is given back."""

    def __init__(
        self,
        consumer: Consumer,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int,
        visibility_timeout: float,
        drain: float,
    ) -> None:
        """`handlers` by direction ("inbound", "outbound"); `concurrency` over all queues; seconds."""
        self._consumer = consumer
        self._handlers = handlers
        self._slots = asyncio.Semaphore(concurrency)
        self._visibility_timeout = visibility_timeout
        self._drain = drain
        self._stop = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], Delivery] = {}
        metrics.watch_in_hand(self._tasks.values)

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, then finish what is in hand in time and give the rest back."""
        self._stop = stop
        stopper = asyncio.create_task(self._stop_with(stop))
        try:
            async for delivery in self._consumer:
                metrics.IN_HAND.inc()
                await self._slots.acquire()
                if stop.is_set():
                    metrics.IN_HAND.dec()
                    break  # not begun: closing the consumer gives it back
                task = asyncio.create_task(self._work(delivery))
                self._tasks[task] = delivery
                task.add_done_callback(self._done)
        finally:
            stopper.cancel()
            await self._finish()
            await self._consumer.close()

    async def _stop_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        # Where all slots are taken, whoever waits for one would see the stop only when something is finished.
        self._slots.release()
        await self._consumer.stop()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._slots.release()
        metrics.IN_HAND.dec()
        if not task.cancelled() and task.exception() is not None:
            _log.error("handling broke", exc_info=task.exception())

    async def _finish(self) -> None:
        if not self._tasks:
            return
        _log.info("draining", messages=len(self._tasks), seconds=self._drain)
        _, late = await asyncio.wait(set(self._tasks), timeout=self._drain)
        for task in late:
            task.cancel()
        if late:
            _log.warning("given back unfinished", messages=len(late))
            await asyncio.wait(late)

    async def _work(self, delivery: Delivery) -> None:
        name, envelope = delivery.queue, delivery.envelope
        started = time.monotonic()
        context = turn_context(tenant=name.tenant_id, channel=name.channel, message=envelope.message_id[:128])
        with continued(envelope.headers, f"{name.direction} message"), context:
            settlement = await self._kept(delivery)
            settled = await _settle(delivery, settlement)
            seconds = time.monotonic() - started
            metrics.MESSAGES.labels(name.channel, name.direction, settled).inc()
            metrics.SECONDS.labels(name.direction).observe(seconds)
            _tell(delivery, settlement, settled, seconds)

    async def _kept(self, delivery: Delivery) -> Settlement:
        """What is to become of it, however long it has to be kept in hand until somebody can say."""
        waits, tried = 0, 0.0
        while True:
            settlement = await self._settlement(delivery, waits)
            match settlement:
                case KeepInHand(reason=reason):
                    if waits == 0:
                        _log.warning("kept in hand", reason=reason, **settlement.fields)
                    # S311: chance spreads what failed together, it guards nothing.
                    pause = pause_in_hand(waits, chance=random.random())  # noqa: S311 - see above
                    waits += 1
                case TryAgain(delay=pause, reason=reason, in_place=True):
                    tried += pause
                    if tried > self._visibility_timeout:
                        return settlement
                    _log.warning("tried again in hand", reason=reason, delay=round(pause, 2))
                    delivery.count_try(reason)
                case _:
                    return settlement
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()
            if self._stop.is_set():
                # Not settled: closing the consumer gives it back, in its place.
                return KeepInHand(reason, settlement.fields)

    async def _settlement(self, delivery: Delivery, waits: int) -> Settlement:
        handler = self._handlers[delivery.queue.direction]
        if delivery.redeliveries >= _SUSPECT:
            text = f"handed out {delivery.redeliveries} times before and never settled: its workers ended"
            return await handler.failed(delivery, ServiceError(Kind.INTERNAL, text))
        limit = asyncio.timeout(self._visibility_timeout)
        try:
            async with limit:
                return await handler.handle(delivery)
        except Exception as error:  # the boundary of one message: whatever it did, the worker goes on
            if limit.expired():
                text = f"handling took longer than {self._visibility_timeout:g} s"
                if waits < _LATE:
                    return KeepInHand(text)
                return await handler.failed(delivery, ServiceError(Kind.DEADLINE, text))
            _log.exception("handling failed")
            fault = ServiceError(Kind.INTERNAL, f"a fault of the worker: {type(error).__name__}")
            return await handler.failed(delivery, fault)


async def _settle(delivery: Delivery, settlement: Settlement) -> str:
    """Carry it out; gives the word for it, "lost" where the message comes again by itself."""
    try:
        match settlement:
            case Done():
                await delivery.ack()
                return "ack"
            case TryAgain(delay=delay, reason=reason):
                await delivery.retry(delay, reason=reason)
                return "retry"
            case ComeBack(delay=delay):
                await delivery.park(delay)
                return "park"
            case KeepInHand():
                return "given_back"
            case PutAside(reason=reason, told=told):
                await delivery.dead_letter(reason, told=told)
                return "dead_letter"
    except QueueUnavailable as error:
        _log.warning("the message was not settled and comes again", error=str(error))
        return "lost"


def _tell(delivery: Delivery, settlement: Settlement, settled: str, seconds: float) -> None:
    """The whole story of a message in one line."""
    fields: dict[str, object] = {
        "direction": delivery.queue.direction,
        "settled": settled,
        "tries": delivery.tries + 1,
        "parked": delivery.history.parked,
        "ms": round(seconds * 1000),
    }
    if delivery.published_at:
        fields["age_ms"] = max(0, round((time.time() - delivery.published_at) * 1000))
    if delivery.redelivered:
        fields["redelivered"] = True
    if isinstance(settlement, TryAgain | ComeBack):
        fields["delay"] = round(settlement.delay, 2)
    outcome = settlement.outcome if isinstance(settlement, Done) else settlement.reason
    fields |= {"outcome": outcome} | settlement.fields
    write = _log.info if isinstance(settlement, Done | ComeBack | KeepInHand) else _log.warning
    write("message", **fields)
