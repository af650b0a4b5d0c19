"""The queue as its users see it.

Guarantees, kept by both implementations and tested by one contract suite:

- `publish` returns only when the message survives the death of every process (broker confirm / commit).
- At least once: a message that was handed out and not settled is handed out again when its consumer dies.
- First in, first out per queue, except that messages of one ordering key wait for each other and for nobody
  else: within one key never two are in hand at once, unless the earlier one is `recorded`. A message that is
  retried or parked is overtaken meanwhile by later ones, so whoever needs strict order across a retry (the
  turn does) parks those.
- A message that was handed out more than `topology.DELIVERY_LIMIT` times without being settled is
  dead-lettered: it kills its consumers.
- Envelope headers (trace context among them) come out as they went in, also after retries and in dead
  letters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

from services.common.queue.topology import HEADER_PREFIX, SHORT_STRING_BYTES, QueueName

if TYPE_CHECKING:
    from services.common.queue.dead_letters import Decide

# A header must fit a frame, or the broker ends the connection.
HEADER_BYTES = 32 * 1024

# What a consumer keeps in memory over all its queues: 64 turns at once of texts that no provider delivers
# longer (16 KB), and with what else such a turn takes well within what a worker may take.
MOST_BYTES_IN_HAND = 1024 * 1024

__all__ = [
    "Consumer",
    "Delivery",
    "DeliveryLost",
    "Depth",
    "Envelope",
    "Queue",
    "QueueInUse",
    "QueueName",
    "QueueUnavailable",
    "Retry",
    "TopologyConflict",
]


class QueueUnavailable(Exception):
    """The broker (or the file) is away or did not confirm in time; the message may or may not be there."""


class TopologyConflict(QueueUnavailable):
    """Something of our name exists on the broker and is of another kind; the message says what to do."""


class DeliveryLost(QueueUnavailable):
    """This delivery is no longer ours (connection cut, lease run out): it will be handed out again."""


class QueueInUse(Exception):
    """What was asked for needs a queue that nobody consumes."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One protobuf message on its way: `type` its full name, `ordering_key` what keeps order ("" = none).

    Raises ValueError for what no broker would carry: a message id or type of more than 255 bytes, more than
    32 KB of headers and ordering key, a header name of ours (`x-metachat-...`).
    """

    body: bytes
    type: str
    message_id: str
    ordering_key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, value in (("message id", self.message_id), ("type", self.type)):
            if len(value.encode()) > SHORT_STRING_BYTES:
                raise ValueError(f"the {what} is longer than {SHORT_STRING_BYTES} bytes")
        size = len(self.ordering_key.encode())
        for name, value in self.headers.items():
            if name.startswith(HEADER_PREFIX) or len(name.encode()) > SHORT_STRING_BYTES:
                raise ValueError(f"a header may not be named {name[:40]!r}")
            size += len(name.encode()) + len(value.encode())
        if size > HEADER_BYTES:
            raise ValueError(f"headers and ordering key are longer than {HEADER_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Retry:
    """A message's past: failed tries (0 = first time), parkings (cost no try), first failure."""

    tries: int = 0
    parked: int = 0
    first_failure: str = ""


@dataclass(frozen=True, slots=True)
class Depth:
    """How full a queue is; None = cannot be told cheaply. `delayed` = waiting to come back."""

    ready: int
    unacked: int | None
    delayed: int | None
    dead_letters: int
    oldest_age_seconds: float | None
    consumers: int | None = None


class Delivery(Protocol):
    """One message in hand. Exactly one of the four verbs settles it; a second one raises RuntimeError.

    All four raise DeliveryLost when the message is not ours any more, QueueUnavailable when the settling
    could not be made durable; in both cases the message comes again.
    """

    @property
    def envelope(self) -> Envelope: ...

    @property
    def queue(self) -> QueueName: ...

    @property
    def history(self) -> Retry: ...

    @property
    def tries(self) -> int:
        """Failed tries before this one; 0 = first time."""

    @property
    def redelivered(self) -> bool:
        """Handed out before and not settled then: its effects may already stand."""

    @property
    def redeliveries(self) -> int:
        """How often it was handed out before and not settled, since it was last published."""

    @property
    def published_at(self) -> float:
        """Unix time in seconds of the first publish; 0.0 = unknown."""

    def recorded(self) -> None:
        """Whoever handles a later message of its ordering key from now on is told that this one comes first.

        Where so many wait behind it that nobody else's are in sight, they are handed out, one by one, to be
        recorded and parked.
        """

    async def ack(self) -> None: ...

    async def retry(self, delay_seconds: float, *, reason: str) -> None:
        """Come again after at least the delay (see `topology.RETRY_LADDER`), one try more."""

    async def park(self, delay_seconds: float) -> None:
        """Come again after at least the delay without costing a try."""

    async def dead_letter(self, reason: str, *, told: bool = True) -> None:
        """Put aside for an operator with reason, try count and first failure.

        `told` False: nobody who waits for it could be told yet; the dead letter says so (`untold`).
        """

    def count_try(self, reason: str) -> None:
        """One more failed try of a message that stays in hand: it will be tried again in its place."""


class Consumer(Protocol):
    """Deliveries of the queues added, round robin over queues, at most `prefetch` in hand per queue and about
    `most_bytes` of bodies in memory over all of them.

    While the queue is unavailable it waits and goes on by itself.
    """

    async def add(self, name: QueueName) -> None:
        """Begin to consume; declares the queue. Twice is once. While the broker is away: later."""

    async def remove(self, name: QueueName) -> None:
        """Stop taking from the queue; what is in hand can still be settled, the rest goes back."""

    def held(self, name: QueueName) -> int:
        """How many of a queue this consumer has taken and not settled, whether or not they are handed out."""

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def __anext__(self) -> Delivery:
        """The next delivery; raises StopAsyncIteration after `stop`."""

    async def stop(self) -> None:
        """End the iteration; what is in hand can still be settled.

        What was not handed out goes back only with `close`: handed to another consumer now, it would overtake
        what is in hand here.
        """

    async def close(self) -> None:
        """Stop, and give back what is in hand."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


class Queue(Protocol):
    """One installation's queues."""

    async def open(self) -> None:
        """Start. A broker that is down does not fail this: `ping` tells; it is tried again by itself."""

    async def close(self) -> None: ...

    async def ping(self) -> None:
        """Raise QueueUnavailable unless a publish would work now."""

    async def declare(self, name: QueueName) -> None:
        """Make the queue and its dead-letter queue; again is free. Raises QueueUnavailable."""

    async def publish(self, name: QueueName, envelope: Envelope, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - an argument of the port
        """Declare first, publish, return after the confirm (the commit); the timeout is in seconds.

        Raises QueueUnavailable, at once when the broker is known to be down.
        """

    async def publish_event(
        self,
        routing_key: str,
        envelope: Envelope,
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - an argument of the port
    ) -> None:
        """Publish on `metachat.events`, to nobody if nobody listens; raises QueueUnavailable.

        The embedded queue keeps none: they stand in the database's events table.
        """

    def consume(
        self,
        names: Iterable[QueueName] = (),
        *,
        prefetch: int,
        most_bytes: int = MOST_BYTES_IN_HAND,
        share: bool = False,
    ) -> Consumer:
        """A consumer of these queues; more can be added while it runs. Takes nothing before `async for`.

        `most_bytes`: how much of message bodies is kept in memory, over all queues, until they are settled; a
        message that is larger alone is handed out all the same.
        `share`: leave other consumers that said so as well, in other processes, their part of the queues.
        """

    async def depth(self, name: QueueName) -> Depth:
        """Raises QueueUnavailable. Zeros for a queue that does not exist; it is not made."""

    async def depths(self, names: Sequence[QueueName]) -> list[Depth]:
        """`depth` of many, at the cost of one connection's answers; in the order given."""

    async def waiting_to_return(self) -> Mapping[float, int]:
        """Messages that wait for a retry, by the rung of the ladder (seconds); of all queues together."""

    async def sweep_dead_letters(
        self, place: QueueName | None, decide: Decide, *, limit: int, untold: bool = False
    ) -> int:
        """Show up to `limit` dead letters of a queue to `decide`, the oldest first, and do what it says.

        `place` None: those whose queue is gone, of all tenants. `untold`: only those of which nobody was told
        (`DeadLetter.silent`), however many others lie before them. Gives how many were shown, at most
        `dead_letters.MOST_LETTERS` and `MOST_BYTES`. One sweep of a place at a time among all processes;
        what is not decided stays as it lies. A replay is confirmed before the dead letter goes: a crash
        between the two leaves two copies, never none. Raises QueueUnavailable, also when another sweep holds
        the place for long; what was done before that stays done.
        """

    async def mend(self, name: QueueName) -> int | None:
        """Make a queue anew that has other arguments than ours; gives how many messages were moved.

        None: nothing was to be done. Raises QueueInUse while somebody consumes it, QueueUnavailable.
        """

    async def mend_foundations(self, names: Sequence[QueueName], told: Callable[[str], None]) -> None:
        """Make retry queues and exchanges anew that differ from ours, before `open`; `names` are all queues
        that are to be bound to them. `told` gets a line after each step; an interrupted run is run again.

        Raises QueueInUse while somebody consumes one of the queues, QueueUnavailable.
        """

    async def redistribute(self, name: QueueName, route: Callable[[str], QueueName]) -> int:
        """Move what waits in a queue to those that `route` names for each ordering key, in order and with its
        past; gives how many. Raises QueueInUse while somebody consumes it, QueueUnavailable.
        """

    async def retire(self, name: QueueName, reason: str) -> bool:
        """Take away a queue nobody needs any more, and its dead-letter queue, once both are empty.

        What they still hold moves to the dead letters of lost queues, with the reason. False: somebody
        consumes it or there is more: call again later. Raises QueueUnavailable.
        """
