"""Leases of turns that are being drafted: kept by who drafts, given back by who will not.

Neither locks the conversation: the fence decides. Who takes a turn over counts it up, and then neither finds
the turn any more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, update

from services.common.errors import Kind, ServiceError
from services.escalation.store.schema import turns
from services.escalation.turns.model import TurnState


def renew(connection: Connection, tenant_id: str, turn_id: str, fence: int, until: datetime) -> None:
    """Let the lease end at `until`; one that is over is revived while nobody else has taken the turn.

    Raises ServiceError(STALE) where another attempt has it, it is over, or there is none.
    """
    kept: Any = connection.execute(
        update(turns).where(_in_hand(tenant_id, turn_id, fence)).values(lease_expires_at=until)
    )
    if not kept.rowcount:
        raise ServiceError(
            Kind.STALE, "the turn is over or was taken over by another caller", reason="STALE_FENCE"
        )


def release(connection: Connection, tenant_id: str, turn_id: str, fence: int, now: datetime) -> bool:
    """End the lease now; False where this attempt has the turn no more."""
    given: Any = connection.execute(
        update(turns).where(_in_hand(tenant_id, turn_id, fence)).values(lease_expires_at=now)
    )
    return bool(given.rowcount)


def _in_hand(tenant_id: str, turn_id: str, fence: int) -> ColumnElement[bool]:
    return and_(
        turns.c.tenant_id == tenant_id,
        turns.c.id == turn_id,
        turns.c.fence == fence,
        turns.c.state == str(TurnState.DRAFTING),
    )
