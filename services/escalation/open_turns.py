"""What was read when turns were handed out, so that it need not be read again when their drafts come back.

In this process alone, and no more than a shortcut: a draft that comes back elsewhere, or later than others
push its turn out, has it read; and the unit that records the outcome holds all of it against what is stored.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from services.escalation.store.turn_completions import Open

_TURNS: Final = 1_024
# Characters of a context that is remembered: long ones are read again, and the memory stays bounded.
_CHARACTERS: Final = 16_384


class OpenTurns:
    """Turns that wait for their drafts, by tenant, id and fence; the oldest are forgotten first."""

    def __init__(self, *, limit: int = _TURNS) -> None:
        """Nothing is known yet."""
        self._limit = limit
        self._turns: OrderedDict[tuple[str, str, int], Open] = OrderedDict()

    def put(self, tenant_id: str, fence: int, turn: Open) -> None:
        """Remember a turn that was handed out under this fence."""
        if len(turn.text) + sum(len(row["text"]) for row in turn.history) > _CHARACTERS:
            return
        self._turns[tenant_id, turn.turn_id, fence] = turn
        if len(self._turns) > self._limit:
            self._turns.popitem(last=False)

    def take(self, tenant_id: str, turn_id: str, fence: int) -> Open | None:
        """What is known of a turn, then forgotten: whoever repeats a draft is told what is stored."""
        return self._turns.pop((tenant_id, turn_id, fence), None)
