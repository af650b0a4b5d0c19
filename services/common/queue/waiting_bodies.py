"""Bodies of messages in hand: in memory up to a bound, what arrives beyond it in a file until its turn comes.

The bound holds twice: for what waits, and for what is handed out and not settled.

For a broker that hands out by count and not by size. The delivery itself stays in hand all the while, so
nothing changes for the broker: no message is given back, and order needs no second thought.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, Protocol

from services.common.logs import get_logger
from services.common.queue.port import Envelope

_log = get_logger(__name__)

# Slots are powers of two from here, so that one that was freed fits the next body of its kind.
_SMALLEST_SLOT = 4096


class WithBody(Protocol):
    """A delivery."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class _Slot:
    offset: int
    length: int

    @property
    def room(self) -> int:
        return max(_SMALLEST_SLOT, 1 << (self.length - 1).bit_length())


def nameless_file() -> IO[bytes]:
    """In TMPDIR, readable by nobody else and gone with the process, however that ends. Raises OSError."""
    return tempfile.TemporaryFile(buffering=0)


class BodyFile:
    """Bodies in one file that is no larger than what stood in it at once. Its methods raise OSError."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = 0
        self._free: dict[int, list[int]] = {}
        self._used = 0

    def put(self, body: bytes) -> _Slot:
        slot = _Slot(0, len(body))
        free = self._free.get(slot.room)
        if free:
            slot = _Slot(free.pop(), len(body))
        else:
            slot = _Slot(self._end, len(body))
            self._end += slot.room
        self._used += 1
        try:
            written = 0
            while written < len(body):
                written += os.pwrite(self._file.fileno(), body[written:], slot.offset + written)
        except OSError:
            self.free(slot)
            raise
        return slot

    def get(self, slot: _Slot) -> bytes:
        body = os.pread(self._file.fileno(), slot.length, slot.offset)
        while len(body) < slot.length:
            part = os.pread(self._file.fileno(), slot.length - len(body), slot.offset + len(body))
            if not part:
                raise OSError("a file of waiting messages ended too early")
            body += part
        return body

    def free(self, slot: _Slot) -> None:
        self._used -= 1
        if self._used:
            self._free.setdefault(slot.room, []).append(slot.offset)
        else:
            self._free.clear()
            self._end = 0
            self._file.truncate(0)

    def close(self) -> None:
        self._file.close()


class WaitingBodies:
    """The bodies of one consumer's deliveries, from arrival until they are settled or dropped.

    Per delivery: `arrived`, then `recall` when it is handed out, then `gone`. Where no file can be made or
    written they stay in memory: better large than deaf.
    """

    def __init__(self, most_bytes: int, *, make_file: Callable[[], IO[bytes]] = nameless_file) -> None:
        self._most_bytes = most_bytes
        self._make_file = make_file
        self._file: BodyFile | None = None
        self._sizes: dict[WithBody, int] = {}
        self._slots: dict[WithBody, _Slot] = {}
        self._refused = False
        self._handed_out: dict[WithBody, int] = {}
        self._freed = asyncio.Event()
        self.waiting = 0
        self.handed_out = 0

    @property
    def in_file(self) -> int:
        """Bytes."""
        return sum(slot.length for slot in self._slots.values())

    def arrived(self, delivery: WithBody) -> None:
        body = delivery.envelope.body
        if body and self.waiting + len(body) > self._most_bytes and self._set_aside(delivery, body):
            delivery.envelope = replace(delivery.envelope, body=b"")
        else:
            self._sizes[delivery] = len(body)
            self.waiting += len(body)

    def fits(self, delivery: WithBody) -> bool:
        """Whether it may be handed out now: within the bound, or alone."""
        slot = self._slots.get(delivery)
        size = slot.length if slot is not None else self._sizes.get(delivery, 0)
        return self.handed_out == 0 or self.handed_out + size <= self._most_bytes

    async def room(self) -> None:
        """Until something was settled or dropped, or `wake`."""
        self._freed.clear()
        await self._freed.wait()

    def wake(self) -> None:
        self._freed.set()

    def recall(self, delivery: WithBody) -> None:
        """It is handed out, with its whole envelope. Raises OSError."""
        slot = self._slots.get(delivery)
        if slot is not None and self._file is not None:
            delivery.envelope = replace(delivery.envelope, body=self._file.get(slot))
            self._release(delivery)
        self.waiting -= self._sizes.pop(delivery, 0)
        size = len(delivery.envelope.body)
        self._handed_out[delivery] = size
        self.handed_out += size

    def gone(self, delivery: WithBody) -> None:
        """It is settled or dropped."""
        self.waiting -= self._sizes.pop(delivery, 0)
        self.handed_out -= self._handed_out.pop(delivery, 0)
        self._release(delivery)
        self._freed.set()

    def close(self) -> None:
        self._slots.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _set_aside(self, delivery: WithBody, body: bytes) -> bool:
        try:
            if self._file is None:
                self._file = BodyFile(self._make_file())
            self._slots[delivery] = self._file.put(body)
        except OSError as failure:
            if not self._refused:
                _log.warning(
                    "queue_bodies_stay_in_memory",
                    error=str(failure),
                    remedy="give the process a TMPDIR that it can write",
                )
            self._refused = True
            return False
        self._refused = False
        return True

    def _release(self, delivery: WithBody) -> None:
        slot = self._slots.pop(delivery, None)
        if slot is not None and self._file is not None:
            try:
                self._file.free(slot)
            except OSError as failure:
                _log.debug("queue_bodies_not_truncated", error=str(failure))
