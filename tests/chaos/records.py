"""What an installation says of its messages: SQL as an operator would write it, and the dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from datetime import UTC, datetime

import aio_pika
from aio_pika.exceptions import ChannelClosed

from services.common.queue.topology import QueueName
from tests.chaos.deliveries import Move
from tests.chaos.ground import Ground
from tests.chaos.ledger import OutboxRow, Records, TurnRow

_DEAD = 3
_TURNS = (
    "SELECT t.id, t.message_id, t.state, t.action, "
    "EXISTS (SELECT 1 FROM handoffs h WHERE h.conversation_id = t.conversation_id) FROM turns t"
)
_OUTBOX = (
    "SELECT id, COALESCE(turn_id, ''), kind, state, provider_message_id, attempted_at FROM outbox ORDER BY id"
)
_MOVES = "SELECT outbound, before, after FROM chaos_moves ORDER BY id"
_PEOPLE = "SELECT provider_message_id FROM messages WHERE source = 'human_agent'"
# Kept by the database itself, so that no change is missed between two looks.
_ON_SQLITE = (
    "CREATE TABLE chaos_moves (id INTEGER PRIMARY KEY, outbound TEXT, before TEXT, after TEXT)",
    "CREATE TRIGGER chaos_moved AFTER UPDATE OF state ON outbox WHEN OLD.state <> NEW.state BEGIN "
    "INSERT INTO chaos_moves (outbound, before, after) VALUES (OLD.id, OLD.state, NEW.state); END",
)
_ON_POSTGRESQL = (
    "CREATE TABLE chaos_moves (id BIGSERIAL PRIMARY KEY, outbound TEXT, before TEXT, after TEXT)",
    "CREATE FUNCTION chaos_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO chaos_moves (outbound, before, after) VALUES (OLD.id, OLD.state, NEW.state); RETURN NULL; "
    "END $$",
    "CREATE TRIGGER chaos_moved AFTER UPDATE OF state ON outbox FOR EACH ROW "
    "WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION chaos_move()",
)
_DONE = "SELECT count(*) FROM turns WHERE state NOT IN ('waiting', 'drafting')"
_UNSENT = "SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending')"


def watch_states(built: Ground) -> None:
    """Have every change of an outbound message's state written down, from now on."""
    for statement in _ON_SQLITE if built.database is None else _ON_POSTGRESQL:
        built.execute(statement)


def read(built: Ground) -> Records:
    """Everything, now."""
    return Records(
        turns=[TurnRow(*row[:4], bool(row[4])) for row in built.query(_TURNS)],
        outbox=[OutboxRow(*row[:5], _seconds(row[5])) for row in built.query(_OUTBOX)],
        dead=frozenset(_dead(built)),
        moves=[Move(*row) for row in built.query(_MOVES)],
        people=[str(row[0]) for row in built.query(_PEOPLE)],
    )


def _seconds(moment: datetime | str | None) -> float:
    """Since 1970; SQLite keeps moments as texts in UTC."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return moment.timestamp() if moment is not None else 0.0


def done(built: Ground) -> int:
    """Turns that are over, less the outbound messages that are not out yet."""
    return int(built.query(_DONE)[0][0]) - int(built.query(_UNSENT)[0][0])


def waiting(built: Ground) -> int:
    """Messages on queues that are not dead letters; those in hand and those that wait for a retry included
    where the queue tells them.
    """
    if built.broker is None:
        return int(_embedded(built, f"SELECT count(*) FROM messages WHERE state <> {_DEAD}")[0][0])
    return asyncio.run(_ready(built))


def _embedded(built: Ground, statement: str) -> list[tuple[object, ...]]:
    path = built.folder / "disk" / "data" / "queue.db"
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
        return connection.execute(statement).fetchall()


def _names(built: Ground) -> list[QueueName]:
    parts = [None] if built.shape.partitions == 1 else list(range(built.shape.partitions))
    return [
        QueueName(tenant, channel, direction, part)
        for tenant in built.tenants
        for channel in ("whatsapp", "messenger")
        for direction in ("inbound", "outbound")
        for part in parts
    ]


def _dead(built: Ground) -> list[str]:
    if built.broker is None:
        rows = _embedded(built, f"SELECT message_id FROM messages WHERE state = {_DEAD}")
        return [str(row[0]) for row in rows]
    return asyncio.run(_broker_dead(built))


async def _broker_dead(built: Ground) -> list[str]:
    assert built.broker is not None
    found: list[str] = []
    connection = await aio_pika.connect(built.broker.url, timeout=10)
    async with connection:
        for name in _names(built):
            channel = await connection.channel()
            try:
                queue = await channel.declare_queue(name.dead_letter, passive=True)
            except ChannelClosed:
                continue  # never made
            # Not acknowledged: they go back when the connection closes.
            while (message := await queue.get(no_ack=False, fail=False)) is not None:
                found.append(message.message_id or "")
    return found


async def _ready(built: Ground) -> int:
    assert built.broker is not None
    ready = 0
    connection = await aio_pika.connect(built.broker.url, timeout=10)
    async with connection:
        for name in _names(built):
            channel = await connection.channel()
            try:
                queue = await channel.declare_queue(name.queue, passive=True)
            except ChannelClosed:
                continue
            ready += queue.declaration_result.message_count or 0
            await channel.close()
    return ready
