"""GetReliability: the calibration in force and how true its scores are, from the tenant's verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from metachat.confidence.v1.confidence_pb2 import Calibration
from metachat.escalation.v1 import insight_pb2
from sqlalchemy import Connection

from services.escalation.servicers.requests import tenant_of, tenant_or_all
from services.escalation.store import calibrations, verdicts
from services.escalation.store.database import Database
from services.escalation.store.insight_lists import all_verdicts
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.verdicts.calibration_map import mapped
from services.escalation.verdicts.calibration_schedule import FIRST
from services.escalation.verdicts.reliability import Judged, bins, figures, risk_coverage

GLOBAL: Final = "global"
# More change no figure that people read.
_MOST_VERDICTS: Final = 50_000


@dataclass(frozen=True, slots=True)
class _Stored:
    scorer_version: str
    rows: Sequence[Mapping[Any, Any]]
    last: Mapping[Any, Any] | None
    elsewhere: int


class Reliability:
    """Answers how true a tenant's scores are. Scores of other scorers than the present one do not count."""

    def __init__(
        self, database: Database, directory: TenantDirectory, scorer_version: Callable[[], str]
    ) -> None:
        """`scorer_version`: who answers now; empty where nobody has answered yet."""
        self._database = database
        self._directory = directory
        self._scorer_version = scorer_version

    async def judged(self, tenant_id: str) -> list[tuple[str, float, bool]]:
        """Turn, score as in the figures, and whether the reply was correct, of the verdicts that count."""
        if not tenant_id:
            rows = await self._database.read(lambda c: all_verdicts(c, limit=_MOST_VERDICTS))
            return [(row["turn_id"], row["score"], row["correct"]) for row in rows]
        scorer_version = self._scorer_version()
        stored = await self._database.read(lambda c: _stored(c, tenant_id, scorer_version))
        calibration = _in_force(stored)
        return [(row["turn_id"], _score_now(row, calibration), row["correct"]) for row in stored.rows]

    async def of_all(self) -> insight_pb2.GetReliabilityResponse:
        """All tenants together, by the scores as they were given."""
        rows = await self._database.read(lambda c: all_verdicts(c, limit=_MOST_VERDICTS))
        given = [Judged(row["score"], row["correct"], row["weight"]) for row in rows]
        return insight_pb2.GetReliabilityResponse(
            verdicts=len(rows),
            figures=figures(given),
            bins=_bins(given),
            risk_coverage=_risk_coverage(given),
            note="all tenants together, by the scores as they were given",
        )

    async def get(self, tenant_id: str) -> insight_pb2.GetReliabilityResponse:
        """Raises ServiceError(NOT_FOUND) for a tenant that does not exist."""
        tenant = await self._directory.get(tenant_id)
        scorer_version = self._scorer_version()
        stored = await self._database.read(lambda c: _stored(c, tenant.id, scorer_version))
        calibration = _in_force(stored)
        given = [Judged(row["score"], row["correct"], row["weight"]) for row in stored.rows]
        now = [Judged(_score_now(row, calibration), row["correct"], row["weight"]) for row in stored.rows]
        found = figures(now)
        found |= {
            f"{name}_as_given": value
            for name, value in figures(given).items()
            if name in ("ece", "brier", "log_loss", "auroc")
        }
        return insight_pb2.GetReliabilityResponse(
            calibration_version=calibration.version,
            verdicts=len(stored.rows),
            figures=found,
            calibration=calibration,
            bins=_bins(now),
            risk_coverage=_risk_coverage(now),
            note=_note(stored),
        )


class ReliabilityRpcs:
    """The part of InsightService that is about reliability; mixed into its servicer."""

    _reliability: Reliability
    _directory: TenantDirectory

    async def GetReliability(
        self, request: insight_pb2.GetReliabilityRequest, _context: Any
    ) -> insight_pb2.GetReliabilityResponse:
        """See the contract."""
        if request.all_tenants:
            await tenant_or_all(self._directory, request)
            return await self._reliability.of_all()
        return await self._reliability.get(tenant_of(request.tenant_id))


def _bins(judged: Sequence[Judged]) -> list[insight_pb2.ReliabilityBin]:
    return [
        insight_pb2.ReliabilityBin(
            lower=band.lower,
            upper=band.upper,
            mean_score=band.mean_score,
            share_correct=band.share_correct,
            verdicts=band.verdicts,
            interval_lower=band.low,
            interval_upper=band.high,
        )
        for band in bins(judged)
    ]


def _risk_coverage(judged: Sequence[Judged]) -> list[insight_pb2.RiskPoint]:
    return [
        insight_pb2.RiskPoint(coverage=point.coverage, risk=point.risk, threshold=point.threshold)
        for point in risk_coverage(judged)
    ]


def _stored(connection: Connection, tenant_id: str, scorer_version: str) -> _Stored:
    counts = verdicts.scorer_versions(connection, tenant_id)
    version = scorer_version or next(iter(counts), "")
    return _Stored(
        scorer_version=version,
        rows=verdicts.that_count(connection, tenant_id, version, limit=_MOST_VERDICTS),
        last=calibrations.newest(connection, tenant_id, version),
        elsewhere=sum(count for other, count in counts.items() if other != version),
    )


def _in_force(stored: _Stored) -> Calibration:
    """The newest fit, where it was adopted; else the global calibration with what the fit came to."""
    fit = Calibration()
    if stored.last is not None:
        json_format.ParseDict(dict(stored.last["calibration"]), fit, ignore_unknown_fields=True)
        if stored.last["adopted"]:
            return fit
    return Calibration(
        version=GLOBAL,
        method=Calibration.GLOBAL,
        scorer_version=stored.scorer_version,
        verdicts=fit.verdicts,
        figures=fit.figures,
        note=fit.note,
        fitted_at=fit.fitted_at if fit.HasField("fitted_at") else None,
    )


def _score_now(row: Mapping[Any, Any], calibration: Calibration) -> float:
    """The score that the reply would get now; as it was given where that cannot be known here."""
    if row["calibration_version"] == calibration.version:
        return float(row["score"])
    now = mapped(calibration, row["raw_score"])
    return float(row["score"]) if now is None else now


def _note(stored: _Stored) -> str:
    if stored.last is not None:
        note = str(stored.last["note"])
    elif len(stored.rows) < FIRST:
        note = f"not fitted yet: {len(stored.rows)} of {FIRST} verdicts; the global calibration is in force"
    else:
        note = "not fitted yet: the next fit is on its way; the global calibration is in force"
    if stored.elsewhere:
        note += f"; {stored.elsewhere} verdicts on replies of other scorer versions do not count"
    return note
