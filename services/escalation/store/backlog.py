"""What waits for somebody, counted: outbox rows for the relay, handoffs for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, select

from services.escalation.store.schema import handoffs, outbox

_WAITING: Final = "waiting"
_UNPUBLISHED: Final = select(func.count(), func.min(outbox.c.created_at)).where(
    outbox.c.published_at.is_(None)
)
# The first condition is that of the index of open handoffs, which PostgreSQL then reads alone.
_HANDOFFS: Final = select(func.count(), func.min(handoffs.c.created_at)).where(
    handoffs.c.state.in_((_WAITING, "claimed")), handoffs.c.state == _WAITING
)
STATEMENTS: Final = (_UNPUBLISHED, _HANDOFFS)


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and since when; None = nothing does."""

    unpublished: int
    unpublished_since: datetime | None
    handoffs: int
    handoffs_since: datetime | None


def count(connection: Connection) -> Backlog:
    """Both; rows are read from indexes alone."""
    rows, since = connection.execute(_UNPUBLISHED).one()
    waiting, waiting_since = connection.execute(_HANDOFFS).one()
    return Backlog(int(rows), since, int(waiting), waiting_since)
