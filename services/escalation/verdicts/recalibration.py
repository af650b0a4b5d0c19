"""Fits tenants' calibrations from their verdicts, in the background.

One process at a time does it, by a lease. Verdicts on the replies of another scorer than the one that answers
now are left alone: raw scores of two scorers mean different things. What a fit comes to is recorded, adopted
or not; one that is worse than the global calibration on held-back verdicts puts the global one in force.
The tenant's record is told to be read again, so that every process sends the new calibration within a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol

from google.protobuf import json_format
from metachat.confidence.v1.confidence_pb2 import Calibration, FitCalibrationRequest, Verdict
from prometheus_client import Counter
from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.common.metrics import REGISTRY
from services.escalation.store import calibrations, leases, tenants
from services.escalation.store import verdicts as store
from services.escalation.store.database import Database
from services.escalation.store.records import add_event
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.verdicts.calibration_schedule import LastFit, due, worse
from services.escalation.verdicts.sampling import held_for_proofs, weight_in_fits

LEASE: Final = "calibrations"
FITTED_EVENT: Final = "calibration.fitted"
_LEASE_TIME: Final = timedelta(minutes=5)
# Verdicts of other processes are found by looking; those of this one wake it. Between two looks it rests, so
# that a burst of verdicts is one look.
_LOOK_SECONDS: Final = 30.0
_REST_SECONDS: Final = 0.5
# However quiet it is, a whole look after so many short ones finds what is due by its age.
_WHOLE_LOOK: Final = 20
# Older ones say less of today, and a request has its limits.
_MOST_VERDICTS: Final = 50_000
FITS: Final = Counter(
    "metachat_calibration_fits_total",
    "Calibrations fitted from verdicts, by whether they were adopted.",
    ("adopted",),
    registry=REGISTRY,
)
_log = get_logger(__name__)


class Fitting(Protocol):
    """What a refit asks of the confidence service. Raises ServiceError."""

    async def current_scorer(self) -> str:
        """The version that answers now."""

    async def fit(self, request: FitCalibrationRequest) -> Calibration:
        """A calibration; method GLOBAL where none is better."""


class Recalibration:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(
        self, *, database: Database, directory: TenantDirectory, fitting: Fitting, clock: Clock
    ) -> None:
        """Everything is opened by whoever made it."""
        self._database = database
        self._directory = directory
        self._fitting = fitting
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._woken = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._deafen: Callable[[], None] = lambda: None
        self._seen: str | None = None
        self._looks = 0
        self._trouble = False

    def open(self) -> None:
        """Begin."""
        self._deafen = self._database.wakeups.listen(self._on_commit)
        self._task = asyncio.create_task(self._run(), name="recalibration")

    async def close(self) -> None:
        """Stop; a fit in hand is given up, nothing of it is recorded."""
        self._deafen()
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with contextlib.suppress(ServiceError):
            await self._database.write(partial(leases.release, name=LEASE, holder=self._holder))

    def _on_commit(self, topics: frozenset[str]) -> None:
        if store.VERDICTS in topics:
            self._woken.set()

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                await self.look()
            except ServiceError as error:
                _log.warning("calibrations cannot be fitted for now", reason=error.detail or error.message)
            except Exception:  # the boundary of the task: a fault must not end refits for good
                _log.exception("recalibration failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REST_SECONDS):
                    await self._stop.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._woken.wait()
            self._woken.clear()

    async def look(self) -> int:
        """Fit what is due; returns how many fits were recorded. Raises ServiceError."""
        newest = await self._database.read(store.newest_verdict)
        self._looks += 1
        if not newest or (newest == self._seen and self._looks % _WHOLE_LOOK):
            return 0
        groups = await self._database.read(store.groups)
        last = await self._database.read(calibrations.last_fits)
        self._trouble = False
        candidates = [group for group in groups if await self._is_due(group, last.get(group[:2]))]
        done = 0
        if candidates and await self._leads():
            scorer = await self._fitting.current_scorer()
            for group in candidates:
                if group.scorer_version == scorer:
                    done += await self._refit(group, scorer)
        if not self._trouble:
            self._seen = newest
        return done

    async def _is_due(self, group: store.Group, last: Mapping[Any, Any] | None) -> bool:
        now = self._clock.now()
        if last is None:
            return due(group.size, group.size, None, now)
        new = await self._database.read(
            lambda c: store.count_after(c, group.tenant_id, group.scorer_version, last["newest_verdict"])
        )
        return due(group.size, new, LastFit(last["verdicts"], last["fitted_at"]), now)

    async def _leads(self) -> bool:
        now = self._clock.now()
        return await self._database.write(
            partial(leases.take, name=LEASE, holder=self._holder, now=now, until=now + _LEASE_TIME)
        )

    async def _refit(self, group: store.Group, scorer: str) -> bool:
        """Fit one tenant's calibration and record it; one tenant's trouble is not another's."""
        tenant_id = group.tenant_id
        rows = await self._database.read(
            lambda c: store.that_count(c, tenant_id, scorer, limit=_MOST_VERDICTS)
        )
        if not rows:
            return False
        request = FitCalibrationRequest(
            tenant_id=tenant_id,
            verdicts=[
                Verdict(
                    raw_score=row["raw_score"],
                    pattern=row["pattern"],
                    correct=row["correct"],
                    # Volunteered verdicts, whose chance nobody knows, stand for themselves.
                    weight=weight_in_fits(
                        row["weight"], row["audit_rate"] if row["sampling_probability"] else None
                    ),
                )
                for row in rows
                if not (row["audited"] and held_for_proofs(row["turn_id"]))
            ],
        )
        try:
            made = await self._fitting.fit(request)
            if made.scorer_version != scorer:
                # The scorer was replaced between the two calls: the next look asks again.
                self._trouble = True
                return False
            newest = max(row["id"] for row in rows)
            adopted = made.method != Calibration.GLOBAL and not worse(made.figures)
            if made.method != Calibration.GLOBAL and not adopted:
                made.note = f"not adopted: worse than the global one on held-back verdicts; {made.note}"[
                    :1024
                ]
            await self._database.write(lambda c: self._record(c, tenant_id, made, newest, adopted=adopted))
        except ServiceError as error:
            reason = error.detail or error.message
            _log.warning("a calibration could not be fitted", tenant=tenant_id, reason=reason)
            self._trouble = True
            return False
        self._directory.forget(tenant_id)
        FITS.labels("yes" if adopted else "no").inc()
        _log.info("calibration fitted", tenant=tenant_id, adopted=adopted, note=made.note)
        return True

    def _record(
        self, connection: Connection, tenant_id: str, made: Calibration, newest: str, *, adopted: bool
    ) -> None:
        tenants.lock_administration(connection)
        now = self._clock.now()
        before = calibrations.newest(connection, tenant_id, made.scorer_version)
        calibrations.add_calibration(
            connection,
            tenant_id,
            scorer_version=made.scorer_version,
            version=made.version,
            calibration=json_format.MessageToDict(made),
            adopted=adopted,
            verdicts=made.verdicts,
            newest_verdict=newest,
            figures=made.figures,
            note=made.note,
            fitted_by=f"recalibration {self._holder}",
            now=now,
        )
        if adopted or (before is not None and before["adopted"]):
            tenants.record_change(connection, tenant_id, tenants.TENANT, now=now)
        add_event(
            connection,
            FITTED_EVENT,
            tenant_id=tenant_id,
            now=now,
            data={
                "adopted": adopted,
                "version": made.version,
                "method": Calibration.Method.Name(made.method),
                "verdicts": made.verdicts,
                "scorerVersion": made.scorer_version,
                "figures": dict(made.figures),
                "note": made.note,
            },
        )
