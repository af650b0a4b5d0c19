"""SQLite behind the port: one writer thread whose units share commits, and a few readers.

Synchronous Core on one thread is the fastest way into SQLite from Python, and a commit shared by all
units that wait costs one sync of the disk instead of one each. So `synchronous=FULL` is affordable: what
was acknowledged survives a power cut, not only the end of the process.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, RootTransaction, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.escalation.store import deferred
from services.escalation.store import wakeups as wakeups_module
from services.escalation.store.codec import dump_json, load_json
from services.escalation.store.database import Unit, translated, unavailable
from services.escalation.store.wakeups import Wakeups

T = TypeVar("T")
_READERS: Final = 3
_BUSY_MILLISECONDS: Final = 5000
# Units of one commit: bounds how long the first one waits for the last.
_GROUP: Final = 256
_log = get_logger(__name__)


@dataclass(slots=True)
class _Job:
    """One unit on its way through the writer."""

    unit: Unit[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None
    topics: frozenset[str] = field(default_factory=frozenset)


class SqliteDatabase:
    """See Database. Several processes may open one file; each waits up to 5 s for the others' commits."""

    def __init__(self, url: URL) -> None:
        """`url`: sqlite:///path."""
        self._url = url
        self._wakeups = Wakeups()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._engines: list[Engine] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting = False

    @property
    def wakeups(self) -> Wakeups:
        """Who listens to commits of this process."""
        return self._wakeups

    async def open(self) -> None:
        """Open the file, making it where there is none."""
        self._loop = asyncio.get_running_loop()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="sqlite-read")
        try:
            writer = await self._loop.run_in_executor(self._readers, self._connect)
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            self._readers.shutdown()
            raise _translated(error) from error
        self._accepting = True
        self._thread = threading.Thread(target=self._write_forever, args=(writer,), name="sqlite-write")
        self._thread.start()

    async def close(self) -> None:
        """Finish the units in hand, then disconnect."""
        self._accepting = False
        loop = asyncio.get_running_loop()
        if self._thread is not None:
            self._jobs.put(None)
            await loop.run_in_executor(None, self._thread.join)
            self._thread = None
        if self._readers is not None:
            await loop.run_in_executor(None, self._readers.shutdown)
            self._readers = None
        while not self._idle.empty():
            self._idle.get_nowait().close()
        for engine in self._engines:
            engine.dispose()
        self._engines.clear()

    async def ping(self) -> None:
        """Raise ServiceError(UNAVAILABLE) unless a read works now."""
        await self.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def write(self, unit: Unit[T]) -> T:
        """Run one unit of work; it shares its commit with those that wait beside it."""
        if not self._accepting or self._loop is None:
            raise unavailable("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(unit, future))
        return await future

    async def read(self, query: Unit[T], *, brief: bool = False) -> T:
        """Run a query on a snapshot of its own; a brief one takes less than the way to another thread."""
        if not self._accepting or self._loop is None or self._readers is None:
            raise unavailable("the database is closed")
        if brief:
            return self._read(query)
        return await self._loop.run_in_executor(self._readers, self._read, query)

    def _read(self, query: Unit[T]) -> T:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = None
        try:
            if connection is None:
                connection = self._engine("BEGIN", query_only=True).connect()
            with connection.begin():
                return query(connection)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _translated(error) from error
        finally:
            if connection is not None:
                self._idle.put(connection)

    def _connect(self) -> Connection:
        if self._url.database is not None:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        return self._engine("BEGIN IMMEDIATE", query_only=False).connect()

    def _engine(self, begin: str, *, query_only: bool) -> Engine:
        engine = engine_for(self._url, begin=begin, query_only=query_only)
        self._engines.append(engine)
        return engine

    def _write_forever(self, connection: Connection) -> None:
        """The writer's thread: takes all that waits, commits once, answers all."""
        going = True
        while going:
            job = self._jobs.get()
            group: list[_Job] = []
            while True:
                if job is None:
                    going = False
                elif not job.future.cancelled():
                    group.append(job)
                if len(group) >= _GROUP or self._jobs.empty():
                    break
                job = self._jobs.get()
            if group:
                _run_group(connection, group)
                self._answer(group)
        connection.close()

    def _answer(self, group: list[_Job]) -> None:
        def settle() -> None:
            topics: set[str] = set()
            for job in group:
                topics |= job.topics
                if job.future.cancelled():
                    continue
                if job.error is not None:
                    job.future.set_exception(job.error)
                else:
                    job.future.set_result(job.result)
            self._wakeups.tell(topics)

        try:
            group[0].future.get_loop().call_soon_threadsafe(settle)
        except RuntimeError:
            _log.warning("the event loop ended before the units it waited for", units=len(group))


def _run_group(connection: Connection, group: list[_Job]) -> None:
    """Run all units in one transaction, each behind a savepoint of its own.

    Where what they left for the end cannot be inserted each runs again by itself: one of them fails.
    """
    try:
        transaction = connection.begin()
    except (SQLAlchemyError, sqlite3.Error) as error:
        _fail(group, _translated(error))
        return
    raw: Any = connection.connection.driver_connection
    deferred.taken(connection)
    settling = False
    try:
        for job in group:
            # Plain statements: SQLAlchemy's own savepoints cost more than many a unit.
            raw.execute("SAVEPOINT unit")
            before = deferred.left(connection)
            try:
                job.result = job.unit(connection)
                job.topics = wakeups_module.taken(connection)
            except BaseException as error:  # whatever a unit raises belongs to its caller
                job.error = _translated(error)
                wakeups_module.taken(connection)
                deferred.put_back(connection, before)
                raw.execute("ROLLBACK TO unit")
            raw.execute("RELEASE unit")
        settling = True
        deferred.settle(connection)
        settling = False
        transaction.commit()
    except Exception as error:  # the writer's thread must live on, and whoever waits must be answered
        # A full disk ends the whole transaction: nothing of the group is there.
        _abandon(transaction, raw)
        rest = [job for job in group if job.error is None]
        if settling and len(rest) > 1:
            for job in rest:
                _run_group(connection, [job])
        else:
            _fail(rest, _translated(error))


def _abandon(transaction: RootTransaction, raw: Any) -> None:
    """Leave nothing begun: after a commit that failed both sides wait for a rollback, active or not."""
    try:
        transaction.rollback()
    except SQLAlchemyError:
        _log.exception("rollback failed")
    try:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
    except sqlite3.Error:
        _log.exception("rollback failed")


def _fail(group: list[_Job], error: BaseException) -> None:
    for job in group:
        job.error, job.result, job.topics = error, None, frozenset()


def _translated(error: BaseException) -> BaseException:
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, SQLAlchemyError):
        return translated(error)
    if isinstance(error, (sqlite3.Error, OSError)):
        return unavailable(f"{type(error).__name__}: {error}")
    return error


def engine_for(url: URL, *, begin: str, query_only: bool = False) -> Engine:
    """An engine whose transactions start with `begin`; the module's own implicit ones are off."""
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={"check_same_thread": False, "timeout": _BUSY_MILLISECONDS / 1000},
        json_serializer=dump_json,
        json_deserializer=load_json,
    )

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA temp_store = MEMORY")
        if query_only:
            connection.execute("PRAGMA query_only = ON")

    def on_begin(connection: Connection) -> None:
        # Not through SQLAlchemy: a statement of its own costs more than many a read.
        raw: Any = connection.connection.driver_connection
        raw.execute(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


def _patiently(action: Callable[[], object]) -> None:
    """Changing the journal mode does not wait for a lock by itself."""
    deadline = time.monotonic() + _BUSY_MILLISECONDS / 1000
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
