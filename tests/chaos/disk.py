"""A small disk of a run's own that can be filled: a tmpfs where one may be mounted, else a limit on files."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psutil


class SmallDisk:
    """A tmpfs at `folder`; `available` tells whether it could be mounted."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        """Mounted at once."""
        folder.mkdir(parents=True, exist_ok=True)
        # Servers that refuse root run as another user and must get through to their own folder.
        folder.chmod(0o711)
        self._folder = folder
        self._filler = folder / "filler"
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "tmpfs", str(folder)]
        try:
            self.available = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            self.available = False

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes; by default not a page."""
        # Where others have filled it already, not even the file can be made.
        with contextlib.suppress(OSError), self._filler.open("ab") as file:
            self._filler.chmod(0o600)
            while not leave or shutil.disk_usage(self._folder).free > leave:
                file.write(b"\0" * 65536)
                file.flush()

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it; what lies there is gone."""
        if self.available:
            subprocess.run(["umount", "--lazy", str(self._folder)], capture_output=True, check=False)


def forbid_growth(processes: Iterable[int]) -> None:
    """Where there is no disk to fill: no file of these processes may be written (EFBIG)."""
    for pid in processes:
        with contextlib.suppress(psutil.Error, OSError):
            _limit(pid, 0)


def allow_growth(processes: Iterable[int]) -> None:
    """Undo `forbid_growth`."""
    for pid in processes:
        with contextlib.suppress(psutil.Error, OSError):
            _limit(pid, resource.RLIM_INFINITY)


def _limit(pid: int, size: int) -> None:
    # The hard limit stays: without it nobody but root could take the soft one back.
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size if size >= 0 else hard, hard))
