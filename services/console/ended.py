"""Sessions that were ended before their time, kept over a restart in a file of the data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from services.common.logs import get_logger

_FILE: Final = "console-ended-sessions"
_log = get_logger(__name__)


class EndedSessions:
    """Their ids, which are no secrets: nobody can make a cookie of one.

    Without a writable folder (a container, perhaps) they are kept in memory alone, and a cookie that was
    copied before its owner signed out is good again after a restart, until it expires.
    """

    def __init__(self, folder: Path, now: float) -> None:
        """Reads what is still of use; `now` in seconds since 1970."""
        self._path = folder / _FILE
        self._until: dict[str, float] = {}
        try:
            lines = self._path.read_text().splitlines()
        except OSError:
            lines = []
        for line in lines:
            name, _, until = line.partition(" ")
            try:
                if float(until) > now:
                    self._until[name] = float(until)
            except ValueError:
                continue  # a line cut short by a crash
        if len(lines) > len(self._until):
            self._rewrite()

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._until

    def add(self, session_id: str, until: float) -> None:
        """`until`: when it would have ended by itself."""
        if session_id in self._until:
            return
        self._until[session_id] = until
        try:
            with self._path.open("a") as file:
                file.write(f"{session_id} {until:.0f}\n")
        except OSError as error:
            _log.info("ended session not written down", error=error.strerror)

    def forget(self, now: float) -> None:
        """Drop those whose time is over."""
        over = [name for name, until in self._until.items() if until <= now]
        for name in over:
            del self._until[name]

    def _rewrite(self) -> None:
        draft = self._path.with_name(f".{self._path.name}")
        try:
            draft.write_text("".join(f"{name} {until:.0f}\n" for name, until in self._until.items()))
            draft.replace(self._path)
        except OSError as error:
            _log.info("ended sessions not written down", error=error.strerror)
