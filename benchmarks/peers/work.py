"""What a peer does with a message, its plan and its figures; imports nothing but what the peers have."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Plan:
    """From the environment: which broker, which queues, which RPC, where the figures go."""

    def __init__(self) -> None:
        self.url = os.environ["PEER_BROKER"]
        self.queues = os.environ["PEER_QUEUES"].split(",")
        self.target = os.environ["PEER_TARGET"]
        self.method = os.environ["PEER_METHOD"]
        self.token = os.environ.get("PEER_TOKEN", "")
        self.prefetch = int(os.environ.get("PEER_PREFETCH", "5"))
        self.figures = Path(os.environ["PEER_FIGURES"])

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Sent with each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


class Figures:
    """When each message was done: a line each, written at once."""

    def __init__(self, path: Path) -> None:
        """Begins an empty file."""
        self._file = path.open("w", buffering=1)

    def done(self, message: str) -> None:
        """Now."""
        self._file.write(f"{message} {time.time()}\n")
