"""What both implementations share on the consuming side: waiting for the next delivery, settling it once."""

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any

from services.common.queue.lanes import Lanes
from services.common.queue.port import DeliveryLost, Envelope, QueueName, QueueUnavailable, Retry
from services.common.queue.waiting_bodies import WaitingBodies

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
# A reason may hold a whole page that a provider answered; it travels in a header.
_REASON_CHARACTERS = 1000


class Handout:
    """Deliveries that have arrived, taken by one or more tasks of one event loop."""

    def __init__(
        self, bodies: WaitingBodies | None = None, *, most: int = sys.maxsize, window: int = sys.maxsize
    ) -> None:
        """`bodies`: keeps those of what has arrived; None = they stay where they are.

        `most`: handed out at once of a queue. `window`: how many of a queue arrive before some are settled.
        """
        self._bodies = bodies
        self._lanes: Lanes[HandedOut] = Lanes(most=most, window=window)
        self._wake = asyncio.Event()
        self._in_hand: dict[str, int] = {}
        self._settled = asyncio.Event()
        self.stopped = False

    def offer(self, delivery: "HandedOut") -> None:
        delivery.attach(self)
        if self._bodies is not None:
            self._bodies.arrived(delivery)
        self._lanes.offer(delivery.queue.routing_key, delivery.envelope.ordering_key, delivery)
        self._wake.set()

    def settled(self, delivery: "HandedOut") -> None:
        if self._bodies is not None:
            self._bodies.gone(delivery)
        key = delivery.queue.routing_key
        left = self._in_hand.get(key, 0) - 1
        if left > 0:
            self._in_hand[key] = left
        else:
            self._in_hand.pop(key, None)
            self._settled.set()
        if self._lanes.settled(key, delivery.envelope.ordering_key, recorded=delivery.is_recorded):
            self._wake.set()

    def recorded(self, delivery: "HandedOut") -> None:
        if self._lanes.recorded(delivery.queue.routing_key, delivery.envelope.ordering_key):
            self._wake.set()

    def held(self, name: QueueName) -> int:
        """How many of a queue are here: in hand, or waiting to be handed out."""
        return self._lanes.size(name.routing_key)

    def clear(self, name: QueueName | None = None) -> "list[HandedOut]":
        """Forget and return what was not handed out, of one queue or of all."""
        dropped = self._lanes.clear(None if name is None else name.routing_key)
        if self._bodies is not None:
            for delivery in dropped:
                self._bodies.gone(delivery)
        return dropped

    async def quiet(self, names: Collection[QueueName], seconds: float) -> bool:
        """Hand nothing of these queues out from now on; whether what is in hand was settled in time."""
        keys = {name.routing_key for name in names}
        for key in keys:
            self._lanes.pause(key)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not keys.isdisjoint(self._in_hand):
                    self._settled.clear()
                    await self._settled.wait()
        return keys.isdisjoint(self._in_hand)

    def resume(self, names: Collection[QueueName]) -> None:
        for name in names:
            self._lanes.resume(name.routing_key)
        self._wake.set()

    def stop(self) -> None:
        self.stopped = True
        self._wake.set()

    async def take(self) -> "HandedOut":
        """Raises StopAsyncIteration once stopped."""
        while not self.stopped:
            delivery = self._lanes.take()
            if delivery is not None:
                key = delivery.queue.routing_key
                self._in_hand[key] = self._in_hand.get(key, 0) + 1
                return delivery
            self._wake.clear()
            await self._wake.wait()
        raise StopAsyncIteration


class HandedOut(ABC):
    """A delivery whose four verbs run at most once each in effect, and wait while the queue is away.

    Waiting is right because nobody can do better: until the verb stands, the message is in our hand, counts
    among those of its queue, and comes again if we die.
    """

    __slots__ = (
        "_handout",
        "_settling",
        "envelope",
        "history",
        "is_recorded",
        "published_at",
        "queue",
        "redeliveries",
    )

    def __init__(
        self, queue: QueueName, envelope: Envelope, history: Retry, *, redeliveries: int, published_at: float
    ) -> None:
        self.queue = queue
        self.envelope = envelope
        self.history = history
        self.redeliveries = redeliveries
        self.published_at = published_at
        self._handout: Handout | None = None
        self._settling = False
        self.is_recorded = False

    @property
    def tries(self) -> int:
        return self.history.tries

    @property
    def redelivered(self) -> bool:
        return self.redeliveries > 0

    def attach(self, handout: Handout) -> None:
        self._handout = handout

    def recorded(self) -> None:
        if not self.is_recorded:
            self.is_recorded = True
            if self._handout is not None:
                self._handout.recorded(self)

    async def ack(self) -> None:
        await self._settle(self._ack)

    async def retry(self, delay_seconds: float, *, reason: str) -> None:
        history = Retry(
            tries=self.history.tries + 1,
            parked=self.history.parked,
            first_failure=self.history.first_failure or _line(reason),
        )
        await self._settle(lambda: self._again(delay_seconds, history))

    async def park(self, delay_seconds: float) -> None:
        history = Retry(self.history.tries, self.history.parked + 1, self.history.first_failure)
        await self._settle(lambda: self._again(delay_seconds, history))

    def count_try(self, reason: str) -> None:
        self.history = Retry(
            self.history.tries + 1, self.history.parked, self.history.first_failure or _line(reason)
        )

    async def dead_letter(self, reason: str, *, told: bool = True) -> None:
        text = _line(reason)
        history = Retry(self.history.tries, self.history.parked, self.history.first_failure or text)
        await self._settle(lambda: self._dead_letter(text, history, told))

    @abstractmethod
    async def _ack(self) -> None: ...

    @abstractmethod
    async def _again(self, delay_seconds: float, history: Retry) -> None: ...

    @abstractmethod
    async def _dead_letter(self, reason: str, history: Retry, told: bool) -> None: ...

    async def _settle(self, step: Callable[[], Awaitable[Any]]) -> None:
        if self._settling:
            raise RuntimeError(f"message {self.envelope.message_id!r} is settled already")
        self._settling = True
        pause = _FIRST_PAUSE
        try:
            while True:
                try:
                    await step()
                    break
                except DeliveryLost:
                    raise
                except QueueUnavailable:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
        except asyncio.CancelledError:
            # Whether the step took effect is unknown: let the caller settle again.
            self._settling = False
            raise
        except DeliveryLost:
            self._finish()
            raise
        self._finish()

    def _finish(self) -> None:
        if self._handout is not None:
            self._handout.settled(self)


def _line(reason: str) -> str:
    """Something every header can carry."""
    return " ".join(reason[:_REASON_CHARACTERS].encode(errors="replace").decode().split())
