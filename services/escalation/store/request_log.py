"""What a write with a request id answered, so that repeating it answers the same and changes nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection, delete, select

from services.escalation.store.database import insert_into
from services.escalation.store.housekeeping_schema import request_log

M = TypeVar("M", bound=Message)
# Longer than anybody retries.
_KEPT: Final = timedelta(days=7)


def answered(
    connection: Connection, answer: type[M], *, tenant_id: str, rpc: str, request_id: str
) -> M | None:
    """The recorded answer; None where there is none, or no request id."""
    if not request_id:
        return None
    stored = connection.execute(
        select(request_log.c.response).where(
            request_log.c.tenant_id == tenant_id,
            request_log.c.rpc == rpc,
            request_log.c.request_id == request_id,
        )
    ).scalar_one_or_none()
    return None if stored is None else answer.FromString(stored)


def record(
    connection: Connection, answer: Message, *, tenant_id: str, rpc: str, request_id: str, now: datetime
) -> None:
    """Keep the answer, in the unit that did the work; nothing without a request id.

    The unit must hold a lock that keeps a concurrent copy of the request out (the row that it changes).
    """
    if not request_id:
        return
    connection.execute(delete(request_log).where(request_log.c.created_at < now - _KEPT))
    connection.execute(
        insert_into(connection, request_log)
        .values(
            tenant_id=tenant_id,
            rpc=rpc,
            request_id=request_id,
            response=answer.SerializeToString(),
            created_at=now,
        )
        .on_conflict_do_nothing()
    )


def replace(
    connection: Connection, answer: Message, *, tenant_id: str, rpc: str, request_id: str, now: datetime
) -> None:
    """Keep the answer in place of an earlier one; see `record`."""
    connection.execute(
        delete(request_log).where(
            request_log.c.tenant_id == tenant_id,
            request_log.c.rpc == rpc,
            request_log.c.request_id == request_id,
        )
    )
    record(connection, answer, tenant_id=tenant_id, rpc=rpc, request_id=request_id, now=now)
