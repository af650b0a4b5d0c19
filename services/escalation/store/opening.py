"""Which database a URL names."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from services.escalation.store.database import Database


def database_for(url: str) -> Database:
    """The database of a URL, not opened yet: sqlite:///path, postgresql://…, postgres://….

    Raises ValueError with a sentence for the operator; it never repeats the URL, which may hold a password.
    """
    parsed = parse_url(url)
    # Imported here so that a process pays only for the one it uses.
    if parsed.get_backend_name() == "sqlite":
        from services.escalation.store.sqlite import SqliteDatabase

        return SqliteDatabase(parsed)
    from services.escalation.store.postgresql import PostgresDatabase

    return PostgresDatabase(parsed)


def parse_url(url: str) -> URL:
    """The URL with the driver that we use, whatever driver it names. Raises ValueError."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("the database URL cannot be read: sqlite:///path or postgresql://…") from None
    backend = parsed.drivername.split("+")[0]
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise ValueError("the database URL names no file: sqlite:///path")
        return parsed.set(drivername="sqlite")
    if backend in ("postgres", "postgresql"):
        # asyncpg knows libpq's sslmode under the name ssl.
        mode = parsed.query.get("sslmode")
        parsed = parsed.difference_update_query(["sslmode"])
        if isinstance(mode, str):
            parsed = parsed.update_query_dict({"ssl": mode})
        return parsed.set(drivername="postgresql+asyncpg")
    raise ValueError(f"the database URL has the scheme {backend!r}: use sqlite:///path or postgresql://…")
