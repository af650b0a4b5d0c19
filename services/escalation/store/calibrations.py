"""Calibrations as rows: one for each fit, adopted or not; the newest of a scorer version says what is in
force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select

from services.escalation.store.identity import new_id
from services.escalation.store.verdict_schema import calibrations


def add_calibration(
    connection: Connection,
    tenant_id: str,
    *,
    scorer_version: str,
    version: str,
    calibration: Mapping[str, Any],
    adopted: bool,
    verdicts: int,
    newest_verdict: str,
    figures: Mapping[str, float],
    note: str,
    fitted_by: str,
    now: datetime,
) -> str:
    """Record a fit; returns its id. `newest_verdict`: the id up to which it has seen verdicts."""
    calibration_id = new_id()
    connection.execute(
        insert(calibrations),
        {
            "id": calibration_id,
            "tenant_id": tenant_id,
            "scorer_version": scorer_version,
            "version": version,
            "calibration": dict(calibration),
            "adopted": adopted,
            "verdicts": verdicts,
            "newest_verdict": newest_verdict,
            "figures": dict(figures),
            "note": note,
            "fitted_by": fitted_by,
            "fitted_at": now,
        },
    )
    return calibration_id


def newest(connection: Connection, tenant_id: str, scorer_version: str) -> RowMapping | None:
    """The last fit for a scorer version; None before the first."""
    return (
        connection.execute(
            select(calibrations)
            .where(calibrations.c.tenant_id == tenant_id, calibrations.c.scorer_version == scorer_version)
            .order_by(calibrations.c.id.desc())
            .limit(1)
        )
        .mappings()
        .first()
    )


def last_fits(connection: Connection) -> dict[tuple[str, str], RowMapping]:
    """The last fit of every tenant and scorer version: verdicts, newest_verdict, fitted_at."""
    last = select(func.max(calibrations.c.id)).group_by(
        calibrations.c.tenant_id, calibrations.c.scorer_version
    )
    rows = connection.execute(
        select(
            calibrations.c.tenant_id,
            calibrations.c.scorer_version,
            calibrations.c.verdicts,
            calibrations.c.newest_verdict,
            calibrations.c.fitted_at,
        ).where(calibrations.c.id.in_(last))
    ).mappings()
    return {(row["tenant_id"], row["scorer_version"]): row for row in rows}


def in_force(connection: Connection, tenant_ids: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """The adopted calibrations of tenants, by tenant and scorer version, the newest first; as JSON names."""
    last = (
        select(func.max(calibrations.c.id))
        .where(calibrations.c.tenant_id.in_(tenant_ids))
        .group_by(calibrations.c.tenant_id, calibrations.c.scorer_version)
    )
    rows = connection.execute(
        select(calibrations.c.tenant_id, calibrations.c.scorer_version, calibrations.c.calibration)
        .where(calibrations.c.id.in_(last), calibrations.c.adopted)
        .order_by(calibrations.c.id.desc())
    )
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.tenant_id, {})[row.scorer_version] = row.calibration
    return found


def adopted(connection: Connection, tenant_id: str, scorer_version: str) -> dict[str, dict[str, Any]]:
    """Every calibration that was ever in force for a scorer version, by its own version; as JSON names."""
    rows = connection.execute(
        select(calibrations.c.version, calibrations.c.calibration).where(
            calibrations.c.tenant_id == tenant_id,
            calibrations.c.scorer_version == scorer_version,
            calibrations.c.adopted,
        )
    )
    return {row.version: row.calibration for row in rows}
