"""The database as the rest of the service sees it: atomic units of work, reads, and nothing of a driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from services.common.errors import Kind, ServiceError
from services.escalation.store.wakeups import Wakeups

T = TypeVar("T")
# ErrorInfo.reason of a unit that lost a race; what it did is undone, and it may simply run again.
RACE: Final = "DATABASE_RACE"
Unit = Callable[[Connection], T]


class Database(Protocol):
    """One database.

    Guarantees, tested by one suite on every implementation:

    - A unit is atomic, and `write` returns only after its commit; a unit that raises is rolled back alone.
    - Units see what was committed before them. Two units that lock the same row run one after the other.
    - `wake` calls of a unit reach the listeners after its commit, and never when it was rolled back.
    - ServiceError(UNAVAILABLE) where the database is away, locked or full; no driver's error gets out.

    Units and queries are quick synchronous functions that only talk to the connection: they neither wait, nor
    commit, nor keep the connection. What a unit computes may be computed again (a caller that repeats it).
    """

    @property
    def wakeups(self) -> Wakeups:
        """Who listens to commits of this process."""

    async def open(self) -> None:
        """Connect. Raises ServiceError(UNAVAILABLE)."""

    async def close(self) -> None:
        """Finish the units in hand, then disconnect."""

    async def ping(self) -> None:
        """Raise ServiceError(UNAVAILABLE) unless a read works now."""

    async def write(self, unit: Unit[T]) -> T:
        """Run one unit of work and return what it returned, after its commit."""

    async def read(self, query: Unit[T], *, brief: bool = False) -> T:
        """Run a query that changes nothing, on committed data.

        `brief`: it finds a few rows by an index, whatever is stored, and may run where it is called.
        """


def translated(error: SQLAlchemyError) -> ServiceError:
    """The error that callers see instead of a driver's."""
    # The statement and its values stay out: they hold what customers wrote.
    cause = error.orig if isinstance(error, DBAPIError) else error
    detail = f"{type(cause).__name__}: {cause}"[:500]
    kind = type(error).__name__
    state = str(getattr(cause, "sqlstate", None) or "")
    if kind == "IntegrityError" or state[:2] == "40":
        # Another unit was faster: a row of ours is there already, or a deadlock was broken at our cost.
        return ServiceError(
            Kind.STALE, "somebody else changed this at the same moment; try again", reason=RACE, detail=detail
        )
    if state[:2] == "22":
        return ServiceError(
            Kind.INVALID, "a text holds a character that cannot be stored", reason="TEXT", detail=detail
        )
    if kind in ("OperationalError", "InterfaceError", "TimeoutError", "InternalError") or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        return unavailable(detail)
    if kind == "DBAPIError" and state[:2] in ("08", "53", "55", "57"):
        # PostgreSQL: connection, resources, lock timeout, shutdown.
        return unavailable(detail)
    return ServiceError(Kind.INTERNAL, "the database refused the change", reason="DATABASE", detail=detail)


def unavailable(detail: str) -> ServiceError:
    """The error for a database that is away, locked or full."""
    return ServiceError(
        Kind.UNAVAILABLE,
        "the database cannot be reached; try again",
        reason="DATABASE_UNAVAILABLE",
        detail=detail,
        retry_after=1.0,
    )


async def write_through_races(database: Database, unit: Unit[T], *, tries: int = 5) -> T:
    """Run a unit that may lose a race (an INSERT of what another may insert) until it does not.

    Each try sees what the winner left. Raises what `write` raises, ServiceError(STALE) after the last try.
    """
    for _ in range(tries - 1):
        try:
            return await database.write(unit)
        except ServiceError as error:
            if error.reason != RACE:
                raise
    return await database.write(unit)


def insert_into(connection: Connection, table: Table) -> Any:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
