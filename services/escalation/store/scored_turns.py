"""Turns as simulations and proofs need them: what they were decided on, and what people said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, select

from services.escalation.insights.guarantees import Versions
from services.escalation.insights.simulation import ScoredTurn, facts_of
from services.escalation.policy import Action, Reason
from services.escalation.store.schema import turns
from services.escalation.store.verdict_schema import verdicts
from services.escalation.verdicts.scores_today import Given


@dataclass(frozen=True, slots=True)
class AuditedTurn:
    """A judged turn of the audit, with its score as it was given."""

    turn: ScoredTurn
    given: Given


def decided_turns(
    connection: Connection, tenant_id: str, begin: datetime | None, end: datetime | None, *, limit: int
) -> list[ScoredTurn]:
    """The newest `limit` decided turns of a period with their verdicts, the newest first."""
    query = (
        select(
            turns.c.id,
            turns.c.conversation_id,
            turns.c.action,
            turns.c.reason,
            turns.c.facts,
            turns.c.urgent,
            turns.c.high_stakes,
            turns.c.score,
            verdicts.c.correct,
            verdicts.c.weight,
            verdicts.c.audited,
        )
        .select_from(turns.outerjoin(verdicts, and_(verdicts.c.turn_id == turns.c.id, verdicts.c.current)))
        .where(turns.c.tenant_id == tenant_id, turns.c.action != "")
        .order_by(turns.c.created_at.desc())
        .limit(limit)
    )
    if begin is not None:
        query = query.where(turns.c.created_at >= begin)
    if end is not None:
        query = query.where(turns.c.created_at < end)
    return [_turn(row) for row in connection.execute(query)]


def count_decided(
    connection: Connection, tenant_id: str, begin: datetime | None, end: datetime | None
) -> int:
    """How many turns of a period were decided."""
    query = select(func.count()).where(turns.c.tenant_id == tenant_id, turns.c.action != "")
    if begin is not None:
        query = query.where(turns.c.created_at >= begin)
    if end is not None:
        query = query.where(turns.c.created_at < end)
    return connection.execute(query).scalar_one()


def newest_versions(connection: Connection, tenant_id: str) -> Versions:
    """What the tenant's newest score came from."""
    row = connection.execute(
        select(turns.c.scorer_version, turns.c.calibration_version)
        .where(turns.c.tenant_id == tenant_id, turns.c.score.is_not(None), turns.c.scorer_version != "")
        .order_by(turns.c.created_at.desc())
        .limit(1)
    ).first()
    return Versions("", "") if row is None else Versions(*row)


def audited_turns(connection: Connection, tenant_id: str, scorer: str, *, limit: int) -> list[AuditedTurn]:
    """Judged turns of the uniform audit sample on this scorer, the newest `limit`, the oldest first."""
    query = (
        select(
            turns.c.id,
            turns.c.conversation_id,
            turns.c.action,
            turns.c.high_stakes,
            turns.c.score,
            turns.c.raw_score,
            turns.c.pattern,
            turns.c.calibration_version,
            turns.c.threshold_immediate,
            turns.c.shadow_action,
            turns.c.sampling_probability,
            verdicts.c.correct,
        )
        .select_from(verdicts.join(turns, turns.c.id == verdicts.c.turn_id))
        .where(
            verdicts.c.tenant_id == tenant_id,
            verdicts.c.scorer_version == scorer,
            verdicts.c.current,
            turns.c.audited,
            turns.c.score.is_not(None),
            turns.c.raw_score.is_not(None),
        )
        .order_by(verdicts.c.id.desc())
        .limit(limit)
    )
    found = [
        AuditedTurn(
            ScoredTurn(
                turn_id=row.id,
                facts=facts_of("", None, urgent=False, high_stakes=row.high_stakes, score=row.score),
                before=Action(row.action),
                conversation_id=row.conversation_id or "",
                correct=row.correct,
                audited=True,
                audit_weight=1.0 / row.sampling_probability if row.sampling_probability else 1.0,
                # In shadow everything was sent, and drawn from.
                floor=0.0 if row.shadow_action else row.threshold_immediate or 0.0,
            ),
            Given(row.raw_score, row.score, row.pattern, row.calibration_version),
        )
        for row in connection.execute(query)
    ]
    return sorted(found, key=lambda found: found.turn.turn_id)


def scores(
    connection: Connection, tenant_id: str, scorer: str, *, limit: int
) -> Sequence[tuple[Given, bool]]:
    """The newest `limit` scores of this scorer, each with whether its topic was high stakes."""
    query = (
        select(
            turns.c.raw_score,
            turns.c.score,
            turns.c.pattern,
            turns.c.calibration_version,
            turns.c.high_stakes,
        )
        .where(
            turns.c.tenant_id == tenant_id,
            turns.c.score.is_not(None),
            turns.c.raw_score.is_not(None),
            turns.c.scorer_version == scorer,
        )
        .order_by(turns.c.created_at.desc())
        .limit(limit)
    )
    return [(Given(*row[:4]), row[4]) for row in connection.execute(query)]


def _turn(row: Any) -> ScoredTurn:
    return ScoredTurn(
        turn_id=row.id,
        facts=facts_of(
            row.reason, row.facts, urgent=row.urgent, high_stakes=row.high_stakes, score=row.score
        ),
        before=Action(row.action),
        conversation_id=row.conversation_id or "",
        given_up=row.reason == Reason.PROCESSING_FAILED,
        correct=row.correct,
        weight=1.0 if row.weight is None else row.weight,
        audited=bool(row.audited),
    )
