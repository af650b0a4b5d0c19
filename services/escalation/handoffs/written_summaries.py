"""Summaries that a tenant's model wrote of a handoff: kept for a week, and shown until the customer goes on.

They lie beside what requests answered (`store.request_log`): gone after the same days, and with the
conversation when a customer's data is erased. The summary that quotes (`summary.py`) is always there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from metachat.escalation.v1 import handoff_pb2
from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import invalid_field
from services.escalation.handoffs.waiting_list import no_such_handoff
from services.escalation.store import conversations, request_log
from services.escalation.store import handoffs as store
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory

SOURCE: Final = "llm"
_KEY: Final = "HandoffSummary"
_LONGEST: Final = 2000
_LONGEST_MODEL: Final = 200


class WrittenSummaries:
    """See the module. Raises ServiceError(NOT_FOUND) for other tenants' handoffs too."""

    def __init__(self, database: Database, directory: TenantDirectory, clock: Clock) -> None:
        """Both are opened by whoever made them."""
        self._database = database
        self._directory = directory
        self._clock = clock

    async def store(self, request: handoff_pb2.StoreHandoffSummaryRequest) -> handoff_pb2.HandoffSummary:
        """Keep what was written, in place of an earlier one. Raises ServiceError(INVALID): empty."""
        given = request.summary
        now = self._clock.now()
        summary = handoff_pb2.HandoffSummary(
            asked=_cut(given.asked),
            unanswered=_cut(given.unanswered),
            tried=_cut(given.tried),
            source=SOURCE,
            model=_cut(given.model, _LONGEST_MODEL),
        )
        if not (summary.asked or summary.unanswered or summary.tried):
            raise invalid_field("summary", "is empty")
        summary.written_at.FromDatetime(now)
        tenant = await self._directory.get(request.tenant_id)

        def unit(connection: Connection) -> handoff_pb2.HandoffSummary:
            row = (
                store.find_handoff(connection, tenant.id, request.handoff_id)
                if request.handoff_id.isalnum()
                else None
            )
            if row is None:
                raise no_such_handoff()
            with conversations.holding(connection, tenant.id, row["conversation_id"], now) as held:
                if held is None:
                    raise no_such_handoff()
                kept = handoff_pb2.StoreHandoffSummaryRequest(
                    handoff_id=request.handoff_id,
                    message_id=request.message_id,
                    summary=summary,
                    conversation_id=row["conversation_id"],
                )
                request_log.replace(
                    connection, kept, tenant_id=tenant.id, rpc=_KEY, request_id=request.handoff_id, now=now
                )
            return summary

        return await self._database.write(unit)

    async def current(
        self, tenant_id: str, handoff_id: str, transcript: Sequence[Mapping[Any, Any]]
    ) -> handoff_pb2.HandoffSummary | None:
        """What was written, until the customer goes on. `transcript`: rows of messages."""
        kept = await self._database.read(
            lambda connection: request_log.answered(
                connection,
                handoff_pb2.StoreHandoffSummaryRequest,
                tenant_id=tenant_id,
                rpc=_KEY,
                request_id=handoff_id,
            )
        )
        if kept is None or any(
            row["source"] == "customer" and row["id"] > kept.message_id for row in transcript
        ):
            return None
        return kept.summary


def _cut(text: str, longest: int = _LONGEST) -> str:
    text = text.replace("\0", "").strip()
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"
