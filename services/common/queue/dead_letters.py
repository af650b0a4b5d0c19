"""Messages that were put aside, as an operator sees them, and what can be done with each. Pure."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from services.common.queue.port import Envelope, Retry
from services.common.queue.topology import CHANNELS, DIRECTIONS, MOST_PARTITIONS, QueueName

__all__ = [
    "DISCARD",
    "KEEP",
    "UNROUTED_PLACE",
    "DeadLetter",
    "Decide",
    "Discard",
    "Explain",
    "Keep",
    "Numbering",
    "Replay",
    "digest_of",
    "letter_id",
    "place_of",
]

# Bounds of one look: what is beyond them is not seen by it.
MOST_LETTERS = 1000
MOST_BYTES = 32 * 1024 * 1024

UNROUTED_PLACE = "unrouted"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that was put aside.

    `id` stays the same while it lies there. `queue`: where it came from; None where nobody can tell.
    `by_broker`: the broker or the queue file put it aside by itself, nobody of ours gave a reason;
    `untold`: a consumer of ours gave one, but could tell nobody who waits for it; `unrouted`: its queue is
    gone. Times are Unix seconds, 0.0 = unknown.
    """

    id: str
    queue: QueueName | None
    envelope: Envelope
    history: Retry
    reason: str
    published_at: float
    dead_at: float
    by_broker: bool = False
    unrouted: bool = False
    untold: bool = False

    @property
    def silent(self) -> bool:
        """Whether whoever waits for it was not told."""
        return self.by_broker or self.untold


@dataclass(frozen=True, slots=True)
class Keep:
    """Let it lie."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Remove it for good."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Put it at the end of this queue, its tries forgotten; it leaves the dead letters after the confirm."""

    to: QueueName


@dataclass(frozen=True, slots=True)
class Explain:
    """Let it lie with this reason, as if a consumer had given it; whoever waits for it was told."""

    reason: str


KEEP = Keep()
DISCARD = Discard()
# Asked once for each dead letter, the oldest first; must not wait for anything.
Decide = Callable[[DeadLetter], Keep | Discard | Replay | Explain]


def digest_of(*parts: str | bytes) -> str:
    """32 hex digits that tell messages apart."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode(errors="replace") if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big"))
        hashed.update(data)
    return hashed.hexdigest()


def letter_id(place: QueueName | None, mark: str) -> str:
    """The id of a dead letter in the dead-letter queue of `place`; None = the one of lost queues."""
    if place is None:
        return f"{UNROUTED_PLACE}.{mark}"
    partition = "" if place.partition is None else f".{place.partition}"
    return f"{place.channel}.{place.direction}{partition}.{mark}"


def place_of(tenant_id: str, identity: str) -> QueueName | None:
    """Where a dead letter of a tenant lies by its id: None = with those of lost queues.

    Raises ValueError for what is no id.
    """
    parts = identity.split(".")
    if len(parts) == 2 and parts[0] == UNROUTED_PLACE:
        return None
    if len(parts) not in (3, 4) or parts[0] not in CHANNELS or parts[1] not in DIRECTIONS:
        raise ValueError(f"{identity[:80]!r} is no id of a dead letter")
    partition = None
    if len(parts) == 4:
        if not parts[2].isdecimal() or int(parts[2]) >= MOST_PARTITIONS:
            raise ValueError(f"{identity[:80]!r} is no id of a dead letter")
        partition = int(parts[2])
    return QueueName(tenant_id, parts[0], parts[1], partition)


class Numbering:
    """Tells copies that are alike in everything apart by their place among each other."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def mark(self, digest: str) -> str:
        """The digest for the first, with a number for those that follow."""
        count = self._seen[digest] = self._seen.get(digest, 0) + 1
        return digest if count == 1 else f"{digest}-{count}"
