"""Debian's Chromium: nothing to start, only to be there."""

import os
import shutil
from pathlib import Path

VARIABLE = "CHROMIUM"


def find() -> Path | None:
    """The binary: the one that CHROMIUM names, else the one on the path."""
    found = shutil.which(os.environ.get(VARIABLE) or "chromium")
    return Path(found) if found else None


class Chromium:
    """Its `url` is the binary's path."""

    def __init__(self, binary: Path, _folder: Path) -> None:
        self.url = str(binary)

    def wait(self) -> None:
        """Each test file starts one of its own."""

    def stop(self) -> None:
        """Nothing runs."""
