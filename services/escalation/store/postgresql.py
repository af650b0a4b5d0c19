"""PostgreSQL behind the port: asyncpg, and transactions that units share (`commit_groups.py`)."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from sqlalchemy import URL, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.escalation.store.codec import dump_json, load_json
from services.escalation.store.commit_groups import DRIVER, MOST_LANES, CommitGroups
from services.escalation.store.database import Unit, translated, unavailable
from services.escalation.store.wakeups import Wakeups

T = TypeVar("T")
_CONNECTIONS: Final = 10
_SECONDS_TO_CONNECT: Final = 5
# Statements that a connection keeps prepared: more than we have kinds of.
_PREPARED: Final = 500
_SECONDS_PER_STATEMENT: Final = 30
# A group gives up soon a row that another has, its units go on one by one; each tries for about 5 s.
_LOCK_WAIT: Final = "500ms"
_LOCK_WAIT_OF_GROUPS: Final = "100ms"
# A transaction whose process is gone or stuck gives its locks back.
_IDLE_IN_TRANSACTION: Final = "60s"


class PostgresDatabase:
    """See Database. Transactions are READ COMMITTED: units lock the rows that they decide by."""

    def __init__(self, url: URL) -> None:
        """`url`: postgresql+asyncpg://…."""
        self._url = url
        self._wakeups = Wakeups()
        self._engine: AsyncEngine | None = None
        self._grouped: AsyncEngine | None = None
        self._groups: CommitGroups | None = None
        self._reading: AsyncEngine | None = None

    @property
    def wakeups(self) -> Wakeups:
        """Who listens to commits of this process."""
        return self._wakeups

    async def open(self) -> None:
        """Connect once, to know that it works."""
        self._engine = engine_for(self._url, lock_timeout=_LOCK_WAIT)
        self._grouped = engine_for(self._url, connections=MOST_LANES, lock_timeout=_LOCK_WAIT_OF_GROUPS)
        self._groups = CommitGroups(grouped=self._grouped, single=self._engine, wakeups=self._wakeups)
        # A read is one statement after the other on committed data: it needs no transaction around it.
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        try:
            await self.ping()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish the units in hand, then disconnect."""
        groups, self._groups = self._groups, None
        if groups is not None:
            await groups.close()
        engines = self._grouped, self._engine
        self._engine = self._grouped = self._reading = None
        for engine in engines:
            if engine is not None:
                await engine.dispose()

    async def ping(self) -> None:
        """Raise ServiceError(UNAVAILABLE) unless a read works now."""
        await self.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def write(self, unit: Unit[T]) -> T:
        """Run one unit of work; it shares its commit with those that wait beside it."""
        if self._groups is None:
            raise unavailable("the database is closed")
        return await self._groups.write(unit)

    async def read(self, query: Unit[T], *, brief: bool = False) -> T:
        """Run a query; each of its statements sees what is committed when it starts."""
        engine = self._reading
        if engine is None:
            raise unavailable("the database is closed")
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(query)
        except SQLAlchemyError as error:
            raise translated(error) from error
        except DRIVER as error:
            raise unavailable(f"{type(error).__name__}: {error}") from error


def engine_for(url: URL, *, connections: int = _CONNECTIONS, lock_timeout: str = "0") -> AsyncEngine:
    """An engine with a pool of its own. `lock_timeout`: of each statement; 0 = waits for ever."""
    settings = {
        "application_name": "metachat-escalation",
        "jit": "off",
        "lock_timeout": lock_timeout,
        "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION,
    }
    connect: dict[str, Any] = {
        "timeout": _SECONDS_TO_CONNECT,
        "command_timeout": _SECONDS_PER_STATEMENT,
        "prepared_statement_cache_size": _PREPARED,
        "server_settings": settings,
    }
    return create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=_SECONDS_TO_CONNECT,
        connect_args=connect,
        json_serializer=dump_json,
        json_deserializer=load_json,
    )
