"""What people say of replies: which wait for a word, and each verdict recorded in one atomic unit.

Every verdict is kept; of a turn the last one counts, whoever gave it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from metachat.escalation.v1 import handoff_pb2
from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError
from services.escalation.servicers.translation import timestamp
from services.escalation.store import request_log
from services.escalation.store import verdicts as store
from services.escalation.store.database import Database
from services.escalation.store.records import add_event
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.turns.reply_text import visible
from services.escalation.verdicts import rules

RECORDED_EVENT: Final = "verdict.recorded"
_RPC: Final = "RecordVerdict"


@dataclass(frozen=True, slots=True)
class Spoken:
    """A verdict as it was given."""

    tenant_id: str
    turn_id: str
    said: rules.Said
    edited_text: str
    agent: str
    request_id: str


class Reviews:
    """See the module. Raises ServiceError: NOT_FOUND for other tenants' turns too, and what `rules.py`
    raises.
    """

    def __init__(self, database: Database, directory: TenantDirectory, clock: Clock) -> None:
        """Both are opened by whoever made them."""
        self._database = database
        self._directory = directory
        self._clock = clock

    async def list(self, tenant_id: str, *, after: str, limit: int) -> Sequence[Mapping[Any, Any]]:
        """Turns whose sent reply waits for a verdict, the oldest first, from the one after `after`."""
        tenant = await self._directory.get(tenant_id)
        return await self._database.read(
            lambda c: store.waiting_reviews(c, tenant.id, after=after, limit=limit)
        )

    async def last(self, turn_id: str) -> handoff_pb2.RecordedVerdict | None:
        """What counts of what was said of a turn; None where nobody said anything."""
        row = await self._database.read(lambda c: store.last_verdict(c, turn_id))
        return None if row is None else verdict_message(row)

    async def record(self, spoken: Spoken) -> handoff_pb2.RecordedVerdict:
        """Record what a person says of a turn's draft; a request id that was seen answers as it did."""
        tenant = await self._directory.get(spoken.tenant_id)
        log = {"tenant_id": tenant.id, "rpc": _RPC, "request_id": spoken.request_id}

        def unit(connection: Connection) -> handoff_pb2.RecordedVerdict:
            turn = store.turn_to_judge(connection, tenant.id, spoken.turn_id)
            if turn is None:
                raise ServiceError(Kind.NOT_FOUND, "there is no such turn", reason="TURN_NOT_FOUND")
            answered = request_log.answered(connection, handoff_pb2.RecordedVerdict, **log)
            if answered is not None:
                return answered
            rules.check(spoken.said, spoken.edited_text, turn)
            drafts = _drafts(connection, turn) if spoken.said is rules.Said.EDITED else ()
            correct = rules.is_correct(spoken.said, spoken.edited_text, drafts)
            standing = rules.standing(turn)
            now = self._clock.now()
            verdict_id, created_at = store.add_verdict(
                connection,
                turn,
                now=now,
                verdict=str(spoken.said),
                correct=correct,
                edited_text=spoken.edited_text,
                agent=spoken.agent,
                origin=standing.origin,
                audited=standing.audited,
                sampling_probability=standing.sampling_probability,
                weight=standing.weight,
            )
            add_event(
                connection,
                RECORDED_EVENT,
                tenant_id=tenant.id,
                now=now,
                conversation_id=turn["conversation_id"],
                turn_id=turn["id"],
                data={
                    "verdict": str(spoken.said),
                    "correct": correct,
                    "agent": spoken.agent,
                    "origin": standing.origin,
                    "confidenceScore": turn["score"],
                },
            )
            answer = verdict_message(
                {
                    "id": verdict_id,
                    "correct": correct,
                    "created_at": created_at,
                    "turn_id": turn["id"],
                    "verdict": str(spoken.said),
                    "edited_text": spoken.edited_text,
                    "agent": spoken.agent,
                }
            )
            request_log.record(connection, answer, now=now, **log)
            return answer

        return await self._database.write(unit)


def verdict_message(row: Mapping[Any, Any]) -> handoff_pb2.RecordedVerdict:
    """A verdict (a row of `verdicts`) for callers."""
    return handoff_pb2.RecordedVerdict(
        id=row["id"],
        correct=row["correct"],
        created_at=timestamp(row["created_at"]),
        turn_id=row["turn_id"],
        verdict=handoff_pb2.RecordVerdictRequest.Verdict.Value(row["verdict"].upper()),
        edited_text=row["edited_text"],
        agent=row["agent"],
    )


def _drafts(connection: Connection, turn: Mapping[Any, Any]) -> tuple[str, ...]:
    """The reply in every form in which a person may have had it before them."""
    drafted = visible((turn["draft"] or {}).get("reply", ""))
    withheld = store.withheld_draft(connection, turn["id"], turn["conversation_id"])
    # What went out instead of a withheld draft is no draft.
    sent = turn["reply"] if not withheld else ""
    return drafted, withheld, sent
