"""What other programs write into a message's properties must not end our connection.

The driver reads properties while it reads the wire: a time that no calendar holds or bytes that are no UTF-8
would end the connection, the message would come again on the next one, and so forever. Such a value is read
as if it were not there; the message goes on and is refused by whoever reads its body.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pamqp import common, decode

_EPOCH = datetime.fromtimestamp(0, UTC)

Decode = Callable[..., tuple[int, Any]]


def bear_foreign_properties() -> None:
    """Make the driver's decoders lenient, for the whole process; again is free."""
    for kind, instead in _INSTEAD.items():
        known = decode.METHODS[kind]
        if not isinstance(known, _Lenient):
            decode.METHODS[kind] = _Lenient(known, instead)


class _Lenient:
    def __init__(self, decoder: Decode, instead: Decode) -> None:
        self._decoder = decoder
        self._instead = instead

    def __call__(self, value: bytes) -> tuple[int, Any]:
        try:
            return self._decoder(value)
        except (ValueError, OverflowError, OSError):
            return self._instead(value)


def _text(value: bytes) -> tuple[int, str]:
    length = value[0]
    # Never longer than it came: it must fit where it is written again.
    return length + 1, value[1 : length + 1].decode(errors="ignore")


def _time(_value: bytes) -> tuple[int, datetime]:
    return common.Struct.timestamp.size, _EPOCH


def _table(value: bytes) -> tuple[int, dict[str, Any]]:
    (length,) = common.Struct.integer.unpack(value[:4])
    return 4 + length, {}


_INSTEAD: dict[str, Decode] = {"shortstr": _text, "timestamp": _time, "table": _table}
