"""Units that wait share a transaction on PostgreSQL: one commit, one round trip, for all of them.

A unit that fails aborts the transaction of its group. What came before it then commits without it, it runs
by itself, and what came after it makes a new group. Where a group does not get a lock at once, each of its
units goes on by itself, beside the groups, again and again until it has its locks or its patience ends: so
units that lock rows in different orders hold nobody up for longer than the short wait of a group.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.common.errors import ServiceError
from services.escalation.store import deferred
from services.escalation.store import wakeups as wakeups_module
from services.escalation.store.database import Unit, translated, unavailable
from services.escalation.store.wakeups import Wakeups

T = TypeVar("T")
# What asyncpg raises while it connects comes through SQLAlchemy as it is.
DRIVER: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
# Units of one commit: bounds how long the first one waits for the last.
_GROUP: Final = 64
# Groups at a time. A second one works while the first waits for the server.
LANES: Final = 2
# A group that is under way for longer (a big unit) does not count: another may begin, up to so many.
_PATIENCE_SECONDS: Final = 0.1
MOST_LANES: Final = 4
# Units that go on by themselves at a time: leaves connections for reads. Each try waits for a lock as long as
# its connection says, shorter than PostgreSQL takes to find a deadlock.
_BY_THEMSELVES: Final = 5
_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.05
# Somebody else has the row: lock timeout, deadlock, serialisation failure.
_CONFLICTS: Final = ("55P03", "40P01", "40001")


@dataclass(slots=True)
class _Job:
    """One unit on its way to its commit."""

    unit: Unit[Any]
    future: asyncio.Future[Any]
    result: Any = None
    topics: frozenset[str] = field(default_factory=frozenset)


class _UnitFailed(Exception):
    """The unit of this position failed; `None`: what all of them had left for the end did."""

    def __init__(self, position: int | None, cause: BaseException) -> None:
        super().__init__(position)
        self.position = position
        self.cause = cause


class CommitGroups:
    """See the module. Used on the event loop's thread alone."""

    def __init__(self, *, grouped: AsyncEngine, single: AsyncEngine, wakeups: Wakeups) -> None:
        """`grouped`: gives a lock up at once, has MOST_LANES connections. `single`: waits a little."""
        self._grouped = grouped
        self._single = single
        self._wakeups = wakeups
        self._waiting: deque[_Job] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_themselves = asyncio.Semaphore(_BY_THEMSELVES)
        self._lanes = 0
        self._slow = 0
        self._accepting = True

    async def write(self, unit: Unit[T]) -> T:
        """What the unit returned, after its commit; raises what it raised, ServiceError for the database."""
        if not self._accepting:
            raise unavailable("the database is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Job(unit, future))
        self._open_lane()
        return await future

    async def close(self) -> None:
        """Finish what is in hand."""
        self._accepting = False
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _open_lane(self) -> None:
        if self._waiting and self._lanes - self._slow < LANES and self._lanes < MOST_LANES:
            self._lanes += 1
            self._spawn(self._work(), "postgresql-write")

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        """One lane: takes what waits, commits it, until nothing waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(_GROUP, len(self._waiting)))]
                jobs = [job for job in taken if not job.future.cancelled()]
                slow: list[bool] = []
                timer = loop.call_later(_PATIENCE_SECONDS, self._lose_patience, slow)
                try:
                    await self._commit(jobs)
                finally:
                    timer.cancel()
                    self._slow -= len(slow)
                if slow and self._lanes - self._slow > LANES:
                    return  # another one took over
        finally:
            self._lanes -= 1

    def _lose_patience(self, slow: list[bool]) -> None:
        slow.append(True)
        self._slow += 1
        self._open_lane()

    async def _commit(self, jobs: list[_Job]) -> None:
        """Commit all of them, in as few transactions as can be; answers each."""
        while jobs:
            try:
                async with self._grouped.begin() as connection:
                    await connection.run_sync(_run, jobs)
            except _UnitFailed as failed:
                position, cause = failed.position, failed.cause
                if isinstance(cause, DBAPIError) and cause.connection_invalidated:
                    _fail(jobs, translated(cause))
                    return
                if _state(cause) in _CONFLICTS:
                    for job in jobs:
                        self._spawn(self._go_on(job), "postgresql-write-alone")
                    return
                if len(jobs) == 1:
                    _fail(jobs, _translated(cause))
                    return
                if position is None:
                    for job in jobs:
                        await self._commit([job])
                    return
                await self._commit(jobs[:position])
                await self._commit([jobs[position]])
                jobs = jobs[position + 1 :]
            except (SQLAlchemyError, *DRIVER) as error:
                # No connection, or the commit itself failed: whether it took place is not known.
                _fail(jobs, _translated(error))
                return
            else:
                self._answer(jobs)
                return

    async def _go_on(self, job: _Job) -> None:
        """One unit in a transaction of its own, until it has its locks."""
        async with self._by_themselves:
            for number in range(1, _TRIES + 1):
                if job.future.cancelled():
                    return
                try:
                    async with self._single.begin() as connection:
                        await connection.run_sync(_run, (job,))
                except _UnitFailed as failed:
                    if _state(failed.cause) not in _CONFLICTS or number == _TRIES:
                        _fail((job,), _translated(failed.cause))
                        return
                except (SQLAlchemyError, *DRIVER) as error:
                    _fail((job,), _translated(error))
                    return
                else:
                    self._answer((job,))
                    return
                # Two that wait for each other must not give up and begin again together.
                await asyncio.sleep(random.uniform(0, number * _PAUSE_SECONDS))  # noqa: S311 - guards nothing

    def _answer(self, jobs: Sequence[_Job]) -> None:
        topics: set[str] = set()
        for job in jobs:
            topics |= job.topics
            if not job.future.cancelled():
                job.future.set_result(job.result)
        self._wakeups.tell(topics)


def _run(connection: Connection, jobs: Sequence[_Job]) -> None:
    _forget(connection)
    for position, job in enumerate(jobs):
        try:
            job.result = job.unit(connection)
        except Exception as error:  # whatever a unit raises belongs to its caller
            raise _UnitFailed(position, error) from error
        job.topics = wakeups_module.taken(connection)
    try:
        deferred.settle(connection)
    except Exception as error:  # also what cannot be put together: whoever waits must be answered
        raise _UnitFailed(None, error) from error


def _forget(connection: Connection) -> None:
    """What units that were rolled back on this connection left."""
    wakeups_module.taken(connection)
    deferred.taken(connection)


def _fail(jobs: Sequence[_Job], error: BaseException) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)


def _state(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, SQLAlchemyError):
        return translated(error)
    if isinstance(error, DRIVER):
        return unavailable(f"{type(error).__name__}: {error}")
    return error
