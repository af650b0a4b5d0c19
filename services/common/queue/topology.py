"""Names and arguments of everything we declare on a broker.

Pure. Arguments are final: RabbitMQ refuses to change those of an existing queue.
"""

import hashlib
import re
import zlib
from dataclasses import dataclass, replace

ORCHESTRATOR = "metachat.orchestrator"
DEAD_LETTERS = "metachat.dlx"
EVENTS = "metachat.events"

# Where retry queues send messages back. Not the orchestrator itself: at-least-once dead lettering keeps what
# it cannot route and stops after 32 of them, so the messages of one removed tenant would hold up everybody's
# retries. This exchange has an alternate; the orchestrator must not, or publishing mandatory proves nothing.
RETURNS = "metachat.returns"
UNROUTED = "metachat.unrouted"
UNROUTED_QUEUE = "metachat.unrouted.dead-letter"

# Where consumers tell each other that they live.
WORKERS = "metachat.workers"

# Seconds. One retry queue each, because a time to live per message blocks at the head of a queue.
RETRY_LADDER: tuple[float, ...] = (0.25, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

# Deliveries that ended without being settled, after which a message goes to the dead letters.
DELIVERY_LIMIT = 20

# Looking at dead letters hands them out and takes them back, and the broker counts that: RabbitMQ 4 would
# drop them after 20 looks if nothing were said. -1 (no limit) is unknown to RabbitMQ 3.
BROWSING_LIMIT = 1_000_000_000

MOST_PARTITIONS = 64

# AMQP's short string.
SHORT_STRING_BYTES = 255

CHANNELS = ("whatsapp", "messenger")
DIRECTIONS = ("inbound", "outbound")
CONTENT_TYPE = "application/x-protobuf"

HEADER_PREFIX = "x-metachat-"
ORDERING_KEY = "x-metachat-ordering-key"
TRIES = "x-metachat-tries"
PARKED = "x-metachat-parked"
FIRST_FAILURE = "x-metachat-first-failure"
DEAD_LETTER_REASON = "x-metachat-dead-letter-reason"
DEAD_LETTER_QUEUE = "x-metachat-dead-letter-queue"
DEAD_LETTER_TIME = "x-metachat-dead-letter-time"
# On a dead letter that nobody could be told of yet.
UNTOLD = "x-metachat-untold"

Arguments = dict[str, str | int | bool]

# A dot would be another word of the routing key; 128 keeps every name under AMQP's 255 bytes.
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,128}")
_ROUTING_KEY = re.compile(
    rf"tenant\.({_TENANT.pattern})\.channel\.({'|'.join(CHANNELS)})\.({'|'.join(DIRECTIONS)})(?:\.(\d{{1,4}}))?"
)


@dataclass(frozen=True, slots=True)
class QueueName:
    """One tenant's queue of one channel and direction, or a partition of it. ValueError on a bad part."""

    tenant_id: str
    channel: str
    direction: str
    partition: int | None = None

    def __post_init__(self) -> None:
        if not _TENANT.fullmatch(self.tenant_id):
            raise ValueError(f"tenant id {self.tenant_id!r}: letters, digits, - and _ only, 1 to 128 of them")
        if self.channel not in CHANNELS:
            raise ValueError(f"channel {self.channel!r} is none of {', '.join(CHANNELS)}")
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction {self.direction!r} is none of {', '.join(DIRECTIONS)}")
        if self.partition is not None and not 0 <= self.partition <= 9999:
            raise ValueError(f"partition {self.partition} is not within 0 to 9999")

    @property
    def routing_key(self) -> str:
        key = f"tenant.{self.tenant_id}.channel.{self.channel}.{self.direction}"
        return key if self.partition is None else f"{key}.{self.partition}"

    @property
    def queue(self) -> str:
        return f"{self.routing_key}.queue"

    @property
    def dead_letter(self) -> str:
        return f"{self.queue}.dead-letter"

    @property
    def whole(self) -> "QueueName":
        """The queue this is a partition of; itself where it is none."""
        return replace(self, partition=None)

    @classmethod
    def from_routing_key(cls, routing_key: str) -> "QueueName":
        """The inverse of `routing_key`; raises ValueError for anything else."""
        match = _ROUTING_KEY.fullmatch(routing_key)
        if match is None:
            raise ValueError(f"{routing_key!r} is not the routing key of a tenant's queue")
        tenant_id, channel, direction, partition = match.groups()
        return cls(tenant_id, channel, direction, None if partition is None else int(partition))


def queue_arguments() -> Arguments:
    """Of a tenant's queue. One active consumer at a time keeps conversations in order when workers scale."""
    return {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": DEAD_LETTERS,
        "x-dead-letter-strategy": "at-least-once",
        "x-single-active-consumer": True,
        "x-delivery-limit": DELIVERY_LIMIT,
    }


def dead_letter_arguments() -> Arguments:
    """Of a dead-letter queue: the end of the line, kept until an operator decides."""
    return {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-delivery-limit": BROWSING_LIMIT,
    }


def retry_arguments(delay: float) -> Arguments:
    """Of the retry queue of one rung. A message keeps its own routing key and so finds its way back."""
    return {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-message-ttl": milliseconds(delay),
        "x-dead-letter-exchange": RETURNS,
        "x-dead-letter-strategy": "at-least-once",
    }


def retry_exchange(delay: float) -> str:
    """A fanout per rung: it lets a message keep the routing key of the queue it came from."""
    return f"metachat.retry.{milliseconds(delay)}"


def retry_queue(delay: float) -> str:
    return f"{retry_exchange(delay)}.queue"


def milliseconds(delay: float) -> int:
    return round(delay * 1000)


def rung(delay_seconds: float) -> float:
    """The smallest delay of the ladder not shorter than asked; beyond its end the longest."""
    return next((delay for delay in RETRY_LADDER if delay >= delay_seconds), RETRY_LADDER[-1])


def partition_of(ordering_key: str, partitions: int) -> int:
    """Which of `partitions` a conversation belongs to: the same in every process and every release."""
    if partitions < 1:
        raise ValueError("there is at least one partition")
    return zlib.crc32(ordering_key.encode()) % partitions


@dataclass(frozen=True, slots=True)
class Partitions:
    """Into how many queues each tenant's channel and direction is split; 1 = one queue without a number.

    `before`: the count of the time before a change, whose queues are drained first; 0 = there was none.
    Raises ValueError outside of 1 to 64 (0 to 64), and where both are several: their queues share names, so
    that none of the old ones could be told to be drained before the new ones are begun.
    """

    count: int = 1
    before: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_PARTITIONS or not 0 <= self.before <= MOST_PARTITIONS:
            raise ValueError(f"there are 1 to {MOST_PARTITIONS} partitions")
        if self.count > 1 and self.before > 1 and self.count != self.before:
            raise ValueError(
                f"from {self.before} partitions to {self.count} leads over 1: {self.before} to 1 first"
            )

    def of(self, name: QueueName, ordering_key: str) -> QueueName:
        """Where a message of this conversation is published."""
        if self.count == 1:
            return name.whole
        return replace(name, partition=partition_of(ordering_key, self.count))

    def all(self, name: QueueName) -> tuple[QueueName, ...]:
        """Every queue that is published to."""
        return _split(name, self.count)

    def old(self, name: QueueName) -> tuple[QueueName, ...]:
        """The queues of the count before that are published to no more."""
        current = set(self.all(name))
        return tuple(queue for queue in _split(name, self.before) if queue not in current)


def _split(name: QueueName, count: int) -> tuple[QueueName, ...]:
    if count == 1:
        return (name.whole,)
    return tuple(replace(name, partition=number) for number in range(count))


def fitting_id(message_id: str) -> str:
    """A message id for the envelope: itself, or its digest where AMQP's 255 bytes do not hold it.

    The whole id stands in the body; this one only tells copies apart.
    """
    encoded = message_id.encode(errors="replace")
    if len(encoded) <= SHORT_STRING_BYTES:
        return message_id
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"
