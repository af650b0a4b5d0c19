"""Queues that a RabbitMQ node could not bring back, by its log.

A disk that is full to the last page can leave a quorum queue with a hole in its log, or with an empty
configuration; RabbitMQ 3.10 then refuses everything for it, however often the node is started. Nothing of
ours can end that, so a run in which it happens says so instead of waiting.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_REFUSED: Final = re.compile(rb"recover: quorum queue '([^']+)' could not be restarted")
# What a look reads at most: a node in trouble writes more than can be read in time.
_AT_ONCE: Final = 8_000_000
_LONGEST_LINE: Final = 1_000


class BrokenQueues:
    """Reads on from where it was."""

    def __init__(self, log: Path) -> None:
        """`log`: of the node; need not be there yet."""
        self._log = log
        self._offset = 0
        self._names: set[str] = set()

    def look(self) -> list[str]:
        """All names until now, in order."""
        if self._log.exists():
            with self._log.open("rb") as file:
                file.seek(max(0, self._offset - _LONGEST_LINE))
                part = file.read(_AT_ONCE)
                self._offset = file.tell()
            self._names |= {name.decode(errors="replace") for name in _REFUSED.findall(part)}
        return sorted(self._names)
