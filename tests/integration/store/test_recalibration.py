"""Refits on both databases: what is due is fitted once, its outcome is in force, trouble is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from metachat.confidence.v1.confidence_pb2 import Calibration, FitCalibrationRequest
from sqlalchemy import Connection, insert, select, text, update

from services.common.clock import FixedClock, SystemClock
from services.common.errors import Kind, ServiceError
from services.common.settings import Secret
from services.escalation.secrets.box import SecretBox
from services.escalation.store import leases, tenants
from services.escalation.store import verdicts as store
from services.escalation.store.database import Database
from services.escalation.store.identity import new_id
from services.escalation.store.schema import tenant_changes, turns
from services.escalation.store.verdict_schema import calibrations, verdicts
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.verdicts.recalibration import LEASE, Recalibration
from tests.integration.store.database_fixtures import database, url

__all__ = ["database", "url"]

TENANT = "metrica"


class Scripted:
    """A confidence service that answers what it is told to."""

    def __init__(self) -> None:
        self.version = "1"
        self.answer = Calibration.PLATT
        self.fits_with = ""
        self.loss = 0.5
        self.error: ServiceError | None = None
        self.requests: list[FitCalibrationRequest] = []

    async def current_scorer(self) -> str:
        return self.version

    async def fit(self, request: FitCalibrationRequest) -> Calibration:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        count = len(request.verdicts)
        own = self.answer != Calibration.GLOBAL
        return Calibration(
            version=f"verdicts-{count}" if own else "global",
            method=self.answer,
            slope=0.5,
            verdicts=count,
            scorer_version=self.fits_with or self.version,
            figures={"log_loss": self.loss, "global_log_loss": 0.6},
            note="as told",
        )


class Bench:
    """One process that refits, beside the tables it reads."""

    def __init__(self, database: Database, directory: TenantDirectory) -> None:
        self.database = database
        self.directory = directory
        self.clock = FixedClock(SystemClock().now())
        self.scripted = Scripted()
        self.recalibration = self.process()

    def process(self) -> Recalibration:
        return Recalibration(
            database=self.database, directory=self.directory, fitting=self.scripted, clock=self.clock
        )

    async def judge(self, count: int, scorer_version: str = "1") -> None:
        def unit(connection: Connection) -> None:
            for _ in range(count):
                turn_id = new_id()
                row: dict[str, Any] = {
                    "id": turn_id,
                    "tenant_id": TENANT,
                    "channel": "webchat",
                    "message_id": turn_id,
                    "state": "decided",
                    "score": 0.6,
                    "raw_score": 0.5,
                    "pattern": "text",
                    "scorer_version": scorer_version,
                    "calibration_version": "global",
                    "created_at": self.clock.now(),
                }
                connection.execute(insert(turns), row)
                store.add_verdict(
                    connection, row, now=self.clock.now(), verdict="wrong", correct=False, weight=1.0
                )

        await self.database.write(unit)

    async def fits(self) -> list[tuple[int, bool]]:
        query = select(calibrations.c.verdicts, calibrations.c.adopted).order_by(calibrations.c.id)
        return [tuple(row) for row in await self.database.read(lambda c: c.execute(query).all())]

    async def versions(self) -> list[str]:
        """What is in force, as the turns of this process see it."""
        record = await self.directory.get(TENANT)
        return [calibration.version for calibration in record.calibrations.values()]

    async def changes(self) -> int:
        return len(await self.database.read(lambda c: c.execute(select(tenant_changes.c.seq)).all()))


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    directory = TenantDirectory(database, SecretBox(Secret("the-secret-key-of-this-test-installation")))
    await directory.open()
    bench = Bench(database, directory)
    await database.write(
        lambda c: tenants.insert_tenant(
            c, TENANT, name="Metrica", settings={}, etag="1", now=bench.clock.now()
        )
    )
    yield bench
    await directory.close()


async def test_nothing_is_fitted_before_there_is_enough(bench: Bench) -> None:
    await bench.judge(9)
    assert await bench.recalibration.look() == 0
    await bench.judge(1)
    assert await bench.recalibration.look() == 1
    assert await bench.recalibration.look() == 0
    assert await bench.fits() == [(10, True)]
    assert await bench.versions() == ["verdicts-10"]


async def test_what_is_no_better_than_the_global_one_puts_that_in_force(bench: Bench) -> None:
    await bench.judge(10)
    await bench.recalibration.look()
    told = await bench.changes()
    bench.scripted.answer = Calibration.GLOBAL
    await bench.judge(10)
    await bench.recalibration.look()

    assert await bench.fits() == [(10, True), (20, False)]
    assert await bench.versions() == []
    assert await bench.changes() == told + 1

    await bench.judge(10)
    await bench.recalibration.look()
    # Still the global one: recorded, and nobody need read the tenant again.
    assert (await bench.fits())[-1] == (30, False)
    assert await bench.changes() == told + 1


async def test_a_fit_that_is_worse_on_held_back_verdicts_is_kept_and_not_adopted(bench: Bench) -> None:
    bench.scripted.loss = 0.601
    await bench.judge(10)
    await bench.recalibration.look()

    assert await bench.fits() == [(10, False)]
    assert await bench.versions() == []
    [note] = await bench.database.read(lambda c: c.execute(select(calibrations.c.note)).scalars().all())
    assert note.startswith("not adopted: worse than the global one")


async def test_verdicts_on_another_scorer_are_left_alone(bench: Bench) -> None:
    await bench.judge(20, scorer_version="0")
    assert await bench.recalibration.look() == 0
    await bench.judge(10)
    assert await bench.recalibration.look() == 1
    assert [len(request.verdicts) for request in bench.scripted.requests] == [10]


async def test_a_fit_by_a_scorer_that_was_just_replaced_is_thrown_away_and_made_again(bench: Bench) -> None:
    await bench.judge(10)
    bench.scripted.fits_with = "2"
    assert await bench.recalibration.look() == 0
    assert await bench.fits() == []
    bench.scripted.fits_with = ""
    assert await bench.recalibration.look() == 1


async def test_trouble_is_tried_again_at_the_next_look(bench: Bench) -> None:
    await bench.judge(10)
    bench.scripted.error = ServiceError(Kind.UNAVAILABLE, "away")
    assert await bench.recalibration.look() == 0
    bench.scripted.error = None
    assert await bench.recalibration.look() == 1


async def test_only_one_process_works(bench: Bench) -> None:
    await bench.judge(10)
    until = bench.clock.now() + timedelta(minutes=1)
    await bench.database.write(
        lambda c: leases.take(c, LEASE, "another process", now=bench.clock.now(), until=until)
    )
    assert await bench.recalibration.look() == 0
    assert bench.scripted.requests == []
    bench.clock.advance(61)
    assert await bench.process().look() == 1


async def test_a_changed_verdict_counts_once_and_is_taken_in_after_a_day(bench: Bench) -> None:
    await bench.judge(10)
    await bench.recalibration.look()

    def change(connection: Connection) -> None:
        turn = store.turn_to_judge(
            connection, TENANT, connection.execute(select(verdicts.c.turn_id).limit(1)).scalar_one()
        )
        assert turn is not None
        store.add_verdict(connection, turn, now=bench.clock.now(), verdict="correct", correct=True)

    await bench.database.write(change)
    assert await bench.process().look() == 0
    bench.clock.advance(86_400)
    assert await bench.process().look() == 1
    assert await bench.fits() == [(10, True), (10, True)]
    assert [one.correct for one in bench.scripted.requests[-1].verdicts].count(True) == 1


async def test_the_loop_fits_by_itself_and_ends(bench: Bench) -> None:
    bench.recalibration.open()
    told = await bench.changes()
    await bench.judge(10)
    async with asyncio.timeout(10):
        while await bench.changes() == told:  # noqa: ASYNC110 - the loop wakes nobody here
            await asyncio.sleep(0.01)
    await bench.recalibration.close()
    assert await bench.fits() == [(10, True)]
    free = await bench.database.read(lambda c: c.execute(text("SELECT count(*) FROM leases")).scalar_one())
    assert free == 0


async def test_the_list_of_reviews_reads_the_index_of_what_waits(bench: Bench) -> None:
    await bench.judge(10)
    await bench.database.write(
        lambda c: c.execute(update(turns).where(turns.c.id != "").values(review="audit")) and None
    )

    def plan(connection: Connection) -> str:
        sqlite = connection.dialect.name == "sqlite"
        if not sqlite:
            connection.execute(text("SET enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
        statement = (
            f"{explain} SELECT id FROM turns WHERE tenant_id = 'metrica' AND turns.review <> '' "
            "AND id > '' ORDER BY id LIMIT 50"
        )
        return str(connection.execute(text(statement)).all())

    assert "ix_turns_reviews" in await bench.database.read(plan)
    listed = await bench.database.read(lambda c: store.waiting_reviews(c, TENANT, after="", limit=4))
    assert len(listed) == 4
