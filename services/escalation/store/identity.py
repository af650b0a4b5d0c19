"""Ids that rise with time: UUIDs of version 7 as 32 hexadecimal digits, which sort alike everywhere."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

_RANDOM_BITS: Final = 62
_STEP_BITS: Final = 12
_VERSION: Final = 0x7
_VARIANT: Final = 0b10


class Identities:
    """Makes ids; within one object each is greater than all before it. Safe for threads."""

    def __init__(self) -> None:
        """Starts at the present millisecond."""
        self._lock = threading.Lock()
        self._last = 0  # milliseconds and step, one number

    def new(self, after: str = "") -> str:
        """The next id; greater than `after` too, where that is an id ahead of this machine's clock."""
        now = (time.time_ns() // 1_000_000) << _STEP_BITS
        with self._lock:
            self._last = moment = max(now, self._last + 1, _moment(after) + 1 if after else 0)
        return _render(moment, secrets.randbits(_RANDOM_BITS))


def _moment(identity: str) -> int:
    """Milliseconds and step of an id."""
    value = int(identity, 16)
    return ((value >> 80) << _STEP_BITS) | ((value >> 64) & 0xFFF)


def _render(moment: int, random: int) -> str:
    high = ((moment >> _STEP_BITS) << 16) | (_VERSION << 12) | (moment & 0xFFF)
    return f"{(high << 64) | (_VARIANT << _RANDOM_BITS) | random:032x}"


_IDENTITIES: Final = Identities()


def new_id(after: str = "") -> str:
    """An id from this process's one source (see Identities.new)."""
    return _IDENTITIES.new(after)
