"""What every database promises (see the port), tried on each of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import StatementError

from services.common.errors import Kind, ServiceError
from services.escalation.migrations.upgrade import upgrade
from services.escalation.store import deferred, wakeups
from services.escalation.store.database import RACE, Database, write_through_races
from services.escalation.store.housekeeping_schema import leases
from services.escalation.store.opening import database_for, parse_url
from services.escalation.store.records import add_event
from services.escalation.store.schema import events, tenant_secrets
from tests.integration.store.database_fixtures import database, url

__all__ = ["database", "url"]

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def lease(connection: Connection, name: str) -> None:
    connection.execute(insert(leases), {"name": name, "holder": "", "expires_at": NOW})


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(leases.c.name).order_by(leases.c.name)).scalars())


async def test_a_unit_is_there_once_write_returns(database: Database, url: str) -> None:
    assert await database.write(lambda c: lease(c, "a")) is None
    other = database_for(url)
    await other.open()
    assert await other.read(names) == ["a"]
    await other.close()


async def test_a_unit_that_raises_is_rolled_back_alone(database: Database) -> None:
    def failing(connection: Connection, name: str) -> None:
        lease(connection, name)
        raise LookupError(name)

    results = await asyncio.gather(
        *(
            database.write(lambda c, n=n: failing(c, f"bad{n}") if n % 3 == 0 else lease(c, f"good{n}"))
            for n in range(30)
        ),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [LookupError, type(None), type(None)] * 10
    assert await database.read(names) == sorted(f"good{n}" for n in range(30) if n % 3)


async def test_a_driver_error_rolls_back_its_unit_alone_and_never_gets_out(database: Database) -> None:
    await database.write(lambda c: lease(c, "a"))
    results = await asyncio.gather(
        database.write(lambda c: lease(c, "b")),
        database.write(lambda c: lease(c, "a")),
        database.write(lambda c: c.execute(text("SELECT nonsense FROM nowhere")) and None),
        database.write(lambda c: lease(c, "c")),
        return_exceptions=True,
    )
    assert results[0] is None and results[3] is None
    assert isinstance(results[1], ServiceError) and results[1].reason == RACE
    assert isinstance(results[2], ServiceError)
    assert "nowhere" not in results[2].message
    assert await database.read(names) == ["a", "b", "c"]


async def test_foreign_keys_hold(database: Database) -> None:
    secret = {"tenant_id": "nobody", "name": "x", "ciphertext": b"x", "key_id": ""}
    with pytest.raises(ServiceError):
        await database.write(lambda c: c.execute(insert(tenant_secrets), secret) and None)


async def test_a_unit_sees_what_was_committed_before(database: Database) -> None:
    counts: list[int] = []

    def unit(connection: Connection) -> None:
        connection.execute(select(leases).where(leases.c.name == "a").with_for_update()).all()
        counts.append(len(names(connection)))
        lease(connection, f"n{len(counts)}-{counts[-1]}")

    await database.write(lambda c: lease(c, "a"))
    for _ in range(5):
        await database.write(unit)
    assert counts == [1, 2, 3, 4, 5]


async def test_locked_rows_make_units_follow_one_another(database: Database) -> None:
    await database.write(lambda c: lease(c, "counter"))

    def add_one(connection: Connection) -> None:
        row = connection.execute(select(leases).where(leases.c.name == "counter").with_for_update()).one()
        connection.execute(
            leases.update().where(leases.c.name == "counter").values(holder=str(int(row.holder or "0") + 1))
        )

    await asyncio.gather(*(database.write(add_one) for _ in range(40)))
    assert await database.read(lambda c: c.execute(select(leases.c.holder)).scalar_one()) == "40"


async def test_wakeups_come_after_the_commit_and_only_then(database: Database) -> None:
    heard: list[str] = []
    end = database.wakeups.listen(lambda topics: heard.extend(sorted(topics)))

    def good(connection: Connection) -> None:
        wakeups.wake(connection, wakeups.EVENTS)

    def bad(connection: Connection) -> None:
        wakeups.wake(connection, wakeups.OUTBOX)
        raise LookupError

    await asyncio.gather(database.write(good), database.write(bad), return_exceptions=True)
    await database.write(lambda _: None)
    assert heard == [wakeups.EVENTS]
    end()
    await database.write(good)
    assert heard == [wakeups.EVENTS]


def tell(connection: Connection, word: str) -> None:
    add_event(connection, "told", tenant_id="m", now=NOW, data={"word": word})


def words(connection: Connection) -> list[str]:
    rows = connection.execute(select(events.c.data).order_by(events.c.id)).scalars()
    return [data["word"] for data in rows]


async def test_events_of_units_that_share_a_commit_are_kept_or_lost_with_their_unit(
    database: Database,
) -> None:
    def unit(connection: Connection, number: int) -> int:
        tell(connection, f"a{number}")
        lease(connection, "taken" if number % 5 == 4 else f"n{number}")
        if number % 5 == 3:
            raise LookupError(number)
        tell(connection, f"b{number}")
        return number

    await database.write(lambda c: lease(c, "taken"))
    results = await asyncio.gather(
        *(database.write(lambda c, n=n: unit(c, n)) for n in range(40)), return_exceptions=True
    )
    good = [n for n in range(40) if n % 5 < 3]
    assert [result for result in results if isinstance(result, int)] == good
    assert sorted(await database.read(words)) == sorted(f"{letter}{n}" for n in good for letter in "ab")


async def test_an_event_that_cannot_be_stored_fails_its_unit_alone(database: Database) -> None:
    results = await asyncio.gather(
        *(database.write(lambda c, w=w: tell(c, w)) for w in ("a", "b", "\ud800", "c")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), type(None), ServiceError, type(None)]
    assert sorted(await database.read(words)) == ["a", "b", "c"]


async def test_what_cannot_be_put_together_for_the_end_fails_its_unit_alone(database: Database) -> None:
    def unreadable(connection: Connection) -> None:
        deferred.insert_later(connection, insert(events), {deferred.GATHERED: object()})

    units = [lambda c: tell(c, "a"), unreadable, lambda c: tell(c, "b")]
    async with asyncio.timeout(10):
        results = await asyncio.gather(*(database.write(unit) for unit in units), return_exceptions=True)
    assert results[0] is results[2] is None and isinstance(results[1], TypeError)
    # And whoever comes later is served.
    await database.write(lambda c: tell(c, "c"))
    assert sorted(await database.read(words)) == ["a", "b", "c"]


async def test_a_unit_that_looks_for_events_sees_those_of_its_neighbours(database: Database) -> None:
    def looking(connection: Connection, fails: bool) -> list[str]:
        deferred.settle(connection)
        tell(connection, "mine")
        found = words(connection)
        if fails:
            raise LookupError
        return found

    results = await asyncio.gather(
        database.write(lambda c: tell(c, "first")),
        database.write(lambda c: looking(c, True)),
        database.write(lambda c: looking(c, False)),
        return_exceptions=True,
    )
    assert results[2] in ([], ["first"])  # a database may run them side by side
    assert sorted(await database.read(words)) == ["first", "mine"]


async def test_units_that_lock_rows_in_different_orders_all_come_through(
    database: Database, url: str
) -> None:
    """Those of one process and of another: whoever is caught in a deadlock loses a race and runs again."""
    other = database_for(url)
    await other.open()
    rows = [f"row{n}" for n in range(6)]
    for name in rows:
        await database.write(lambda c, n=name: lease(c, n))

    def add_one_to(connection: Connection, first: str, second: str) -> None:
        for name in (first, second):
            row = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).one()
            connection.execute(
                leases.update().where(leases.c.name == name).values(holder=str(int(row.holder or "0") + 1))
            )

    pairs = [(first, second) for first in rows for second in rows if first != second]
    async with asyncio.timeout(60):
        await asyncio.gather(
            *(
                write_through_races(
                    database if number % 2 else other, lambda c, f=f, s=s: add_one_to(c, f, s), tries=20
                )
                for number, (f, s) in enumerate(pairs * 2)
            )
        )
    await other.close()
    holders = await database.read(lambda c: c.execute(select(leases.c.holder)).scalars().all())
    assert holders == ["20"] * 6


@pytest.mark.postgresql
async def test_a_unit_that_waits_for_a_lock_holds_up_nobody_else(postgres_url: str) -> None:
    await upgrade(postgres_url)
    database = database_for(postgres_url)
    await database.open()
    await database.write(lambda c: lease(c, "hot"))

    def touch(connection: Connection, name: str) -> str:
        connection.execute(leases.update().where(leases.c.name == name).values(holder="x"))
        return name

    holder = await asyncpg.connect(postgres_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("UPDATE leases SET holder = 'y' WHERE name = 'hot'")
    async with asyncio.timeout(20):
        stuck = [asyncio.create_task(database.write(lambda c: touch(c, "hot"))) for _ in range(2)]
        beside = [asyncio.create_task(database.write(lambda c, n=n: lease(c, f"n{n}"))) for n in range(30)]
        await asyncio.gather(*beside)
        await asyncio.gather(*(database.write(lambda c, n=n: lease(c, f"m{n}")) for n in range(30)))
        assert not any(task.done() for task in stuck)
        await transaction.rollback()
        assert await asyncio.gather(*stuck) == ["hot", "hot"]
    await holder.close()
    assert len(await database.read(names)) == 61
    await database.close()


async def test_one_after_the_other_stays_in_order(database: Database) -> None:
    async def caller(name: str) -> None:
        for number in range(10):
            await database.write(lambda c, n=number: tell(c, f"{name}{n}"))

    await asyncio.gather(*(caller(name) for name in "abcdefgh"))
    found = await database.read(words)
    for name in "abcdefgh":
        assert [word for word in found if word[0] == name] == [f"{name}{n}" for n in range(10)]


async def test_closing_waits_for_units_under_way(database: Database, url: str) -> None:
    tasks = [asyncio.create_task(database.write(lambda c, n=n: tell(c, str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    await database.close()
    await asyncio.gather(*tasks)
    await database.open()
    assert len(await database.read(words)) == 20


async def test_times_and_json_come_back_as_they_went_in(database: Database) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    data = {"text": "žáček \U0001f600", "none": None, "list": [1, 2.5, True], "nested": {"a": "b"}}
    row = {"id": "e", "type": "t", "tenant_id": "m", "data": data, "created_at": local}
    await database.write(lambda c: c.execute(insert(events), row) and None)
    found = await database.read(lambda c: c.execute(select(events)).mappings().one())
    assert found["created_at"] == NOW and found["created_at"].tzinfo is not None
    assert found["data"] == data
    with pytest.raises((StatementError, ServiceError)):
        naive = {**row, "id": "f", "created_at": NOW.replace(tzinfo=None)}
        await database.write(lambda c: c.execute(insert(events), naive) and None)


async def test_a_lost_race_is_run_again(database: Database) -> None:
    tries: list[int] = []

    def unit(connection: Connection) -> str:
        tries.append(1)
        if names(connection) and len(tries) > 1:
            return "found"
        lease(connection, "a")
        return "made"

    await database.write(lambda c: lease(c, "a"))
    assert await write_through_races(database, unit) == "found"
    with pytest.raises(ServiceError) as caught:
        await write_through_races(database, lambda c: lease(c, "a"), tries=2)
    assert caught.value.kind is Kind.STALE


async def test_a_cancelled_caller_harms_nobody(database: Database) -> None:
    tasks = [asyncio.create_task(database.write(lambda c, n=n: lease(c, f"n{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None for result in results[1::2])
    assert {f"n{n}" for n in range(1, 20, 2)} <= set(await database.read(names))
    await database.write(lambda c: lease(c, "after"))


async def test_closing_finishes_what_is_in_hand(database: Database, url: str) -> None:
    tasks = [asyncio.create_task(database.write(lambda c, n=n: lease(c, f"n{n:02}"))) for n in range(20)]
    await asyncio.gather(*tasks)
    await database.close()
    with pytest.raises(ServiceError) as caught:
        await database.write(lambda c: lease(c, "late"))
    assert caught.value.kind is Kind.UNAVAILABLE
    with pytest.raises(ServiceError):
        await database.read(names)
    await database.open()
    assert len(await database.read(names)) == 20


async def test_ping(database: Database) -> None:
    await database.ping()
    await database.close()
    with pytest.raises(ServiceError):
        await database.ping()


async def test_two_processes_share_one_database(database: Database, url: str) -> None:
    other = database_for(url)
    await other.open()
    await asyncio.gather(
        *((database if n % 2 else other).write(lambda c, n=n: lease(c, f"n{n}")) for n in range(60))
    )
    assert len(await database.read(names)) == 60
    await other.close()


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://u:p@h/db", "postgresql+asyncpg"),
        ("postgresql://u:p@h/db?sslmode=require", "postgresql+asyncpg"),
        ("postgresql+psycopg://u:p@h/db", "postgresql+asyncpg"),
        ("sqlite:////data/x.db", "sqlite"),
        ("sqlite+aiosqlite:////data/x.db", "sqlite"),
    ],
)
def test_urls_of_all_kinds_are_read(url: str, driver: str) -> None:
    parsed = parse_url(url)
    assert parsed.drivername == driver
    assert parsed.query.get("ssl") == ("require" if "sslmode" in url else None)


@pytest.mark.parametrize("url", ["", "mysql://u:secret@h/db", "sqlite://", "nonsense with secret"])
def test_urls_that_cannot_be_used_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


async def test_a_database_that_is_away_is_unavailable(unused_tcp_port: int, tmp_path: Any) -> None:
    away = database_for(f"postgresql://u:secret@127.0.0.1:{unused_tcp_port}/db")
    with pytest.raises(ServiceError) as caught:
        await away.open()
    assert caught.value.kind is Kind.UNAVAILABLE
    assert "secret" not in caught.value.detail + caught.value.message
    (tmp_path / "file").write_text("this is no database, whatever its name may say" * 100)
    broken = database_for(f"sqlite:///{tmp_path / 'file'}")
    with pytest.raises(ServiceError) as caught:
        await broken.open()
    assert caught.value.kind is not Kind.INVALID
