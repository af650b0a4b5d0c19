"""What a process and its children use: CPU seconds and resident memory."""

from __future__ import annotations

import time

import psutil


class Usage:
    """Of one process with its children, from now on."""

    def __init__(self, process: psutil.Process) -> None:
        """Begins to count."""
        self._family = [process, *process.children(recursive=True)]
        self._before = self._cpu()
        self._began = time.monotonic()
        self.peak_mb = 0.0
        self.look()

    def look(self) -> None:
        """Now and then: what is resident."""
        self.peak_mb = max(self.peak_mb, sum(each.memory_info().rss for each in self._family) / 1e6)

    @property
    def cpu_seconds(self) -> float:
        """Since it began."""
        return self._cpu() - self._before

    def _cpu(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self._family)
