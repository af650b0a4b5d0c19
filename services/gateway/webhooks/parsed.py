"""What a provider's parser gives, and how it reads JSON that may be anything.

Items come without a tenant, which the account decides later. Exception tree: `Skip`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from google.protobuf.timestamp_pb2 import Timestamp
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage

Item = InboundMessage | DeliveryStatus

# The limits of channel.proto.
MAX_ID: Final = 512
MAX_ACCOUNT: Final = 128
MAX_PERSON: Final = 256
MAX_NAME: Final = 512
MAX_TEXT: Final = 65536
MAX_DETAILS: Final = 65536
MAX_MEDIA_ID: Final = 1024
MAX_ERROR: Final = 2048
_LAST_MILLISECOND: Final = 253402300799_000


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is not taken: where it stands in the payload, and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """Everything of one call, in its order."""

    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...]


class Skip(Exception):
    """This item is not taken; the text says why."""


class Collector:
    """Collects items; a faulty one is skipped alone."""

    def __init__(self) -> None:
        """Starts empty."""
        self._items: list[Item] = []
        self._skipped: list[Skipped] = []

    def take(self, where: str, parse: Callable[[], Iterable[Item]]) -> None:
        """Add what `parse` gives, or note why it gives nothing."""
        try:
            self._items += list(parse())
        except Skip as reason:
            self.skip(where, str(reason))
        except Exception as fault:  # whatever is wrong with one, the others of the call are other customers'
            self.skip(where, f"cannot be read: {type(fault).__name__}")

    def skip(self, where: str, reason: str) -> None:
        """Note something that is not taken."""
        self._skipped.append(Skipped(where, reason))

    def done(self) -> Parsed:
        """What was collected."""
        return Parsed(tuple(self._items), tuple(self._skipped))


def record(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if type(value) is dict else {}


def listing(value: Any) -> list[Any]:
    """The value if it is an array, else an empty one."""
    return value if type(value) is list else []


def text(value: Any) -> str:
    """A string, or a number as one; anything else is empty.

    Half surrogate pairs, and zero bytes, which PostgreSQL does not store, become question marks.
    """
    if type(value) is str:
        return value.encode("utf-8", "replace").decode().replace("\0", "?")
    if type(value) is int:
        return str(value)
    return ""


def bounded(value: Any, limit: int) -> str:
    """As `text`, cut to so many bytes."""
    whole = text(value)
    encoded = whole.encode()
    return whole if len(encoded) <= limit else encoded[:limit].decode("utf-8", "ignore")


def identifier(value: Any, limit: int, what: str) -> str:
    """As `text`; raises Skip where it is missing or too long: a cut id would be another one."""
    whole = text(value)
    if not whole:
        raise Skip(f"no {what}")
    if len(whole.encode()) > limit:
        raise Skip(f"{what} is longer than {limit} bytes")
    return whole


def moment(milliseconds: float | None) -> Timestamp | None:
    """The time, where it is one that can be written down."""
    if milliseconds is None or not 0 < milliseconds <= _LAST_MILLISECOND:
        return None
    time = Timestamp()
    time.FromMilliseconds(int(milliseconds))
    return time


def number(value: Any) -> float | None:
    """A number, also one in a string."""
    if type(value) in (int, float):
        return float(value) if abs(value) < 1e18 else None
    if type(value) is str and len(value) <= 18 and value.isascii() and value.isdigit():
        return float(value)
    return None


def details(**fields: Any) -> str:
    """What is worth keeping, as JSON text; empty values are left out, and all of it where it is too long."""
    kept = {key: value for key, value in fields.items() if value not in (None, "", [], {})}
    if not kept:
        return ""
    try:
        encoded = orjson.dumps(kept)
    except (TypeError, orjson.JSONEncodeError):
        return ""  # half surrogate pairs, or numbers beyond 64 bits
    return encoded.decode() if len(encoded) <= MAX_DETAILS else '{"left_out":"too long"}'
