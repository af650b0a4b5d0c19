"""The one SQLite file of the embedded queue: its tables, and what is done to them in a caller's transaction.

A message is one row in one of four states. Dead letters stay in the same table: replaying one is an update.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.queue.port import Depth, Envelope, QueueUnavailable, Retry
from services.common.queue.topology import DELIVERY_LIMIT, UNTOLD, rung

READY, DELAYED, IN_HAND, DEAD = 0, 1, 2, 3
_VERSION = 1
_SETUP_PATIENCE = 10.0

_SCHEMA = """
CREATE TABLE queues (id INTEGER PRIMARY KEY, routing_key TEXT NOT NULL UNIQUE);
CREATE TABLE holders (id TEXT PRIMARY KEY, alive_until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE messages (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL REFERENCES queues,
  state INTEGER NOT NULL DEFAULT 0,
  due REAL,
  holder TEXT,
  deliveries INTEGER NOT NULL DEFAULT 0,
  ordering_key TEXT NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0,
  parked INTEGER NOT NULL DEFAULT 0,
  first_failure TEXT NOT NULL DEFAULT '',
  dead_reason TEXT,
  dead_at REAL,
  published_at REAL NOT NULL,
  message_id TEXT NOT NULL,
  type TEXT NOT NULL,
  headers TEXT NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX messages_by_state ON messages (state, queue, seq);
CREATE INDEX messages_due ON messages (due) WHERE state = 1;
CREATE INDEX messages_in_hand ON messages (queue, ordering_key) WHERE state = 2;
CREATE INDEX messages_by_holder ON messages (holder) WHERE state = 2;
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row in hand; `deliveries` tells this handing out from a later one of the same row, `size` is what it
    takes in memory (body and headers, bytes).
    """

    seq: int
    queue: int
    deliveries: int
    envelope: Envelope
    history: Retry
    published_at: float
    size: int


def connect(path: Path) -> sqlite3.Connection:
    """Opens the file, made if missing, readable by its owner alone. Raises QueueUnavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            path, timeout=_SETUP_PATIENCE, isolation_level=None, cached_statements=64
        )
    except (OSError, sqlite3.Error) as failure:
        raise QueueUnavailable(f"the queue file {path} cannot be opened: {failure}") from failure
    try:
        _write_ahead(connection)
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except sqlite3.Error as failure:
        connection.close()
        raise QueueUnavailable(f"the queue file {path} cannot be used: {failure}") from failure
    if version not in (0, _VERSION):
        connection.close()
        raise QueueUnavailable(f"the queue file {path} is of another release (format {version})")
    # From here on waiting for the writers' lock is the caller's, in shorter steps than SQLite's.
    connection.execute("PRAGMA busy_timeout = 0")
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switching needs the file alone, and SQLite does not wait for that when processes start together."""
    deadline = time.monotonic() + _SETUP_PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as failure:
            if failure.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


class QueueFile:
    """Statements over one connection, for one thread. `ready_queues`, `next_due` and `changes` only read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._queues: dict[str, int] = {}

    def changes(self) -> int:
        """A number that differs when another connection has committed."""
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def queue_id(self, routing_key: str) -> int:
        known = self._queues.get(routing_key)
        if known is None:
            self.connection.execute(
                "INSERT INTO queues (routing_key) VALUES (?) ON CONFLICT DO NOTHING", (routing_key,)
            )
            (known,) = self.connection.execute(
                "SELECT id FROM queues WHERE routing_key = ?", (routing_key,)
            ).fetchone()
            self._queues[routing_key] = known
        return int(known)

    def forget_queues(self) -> None:
        """After a rollback: an id seen inside may never have come to be."""
        self._queues.clear()

    def publish(self, routing_key: str, envelope: Envelope, now: float) -> None:
        self.connection.execute(
            "INSERT INTO messages (queue, ordering_key, published_at, message_id, type, headers, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self.queue_id(routing_key),
                envelope.ordering_key,
                now,
                envelope.message_id,
                envelope.type,
                json.dumps(dict(envelope.headers)) if envelope.headers else "",
                envelope.body,
            ),
        )

    def acknowledge(self, claimed: Claimed, holder: str) -> bool:
        """False when it is not in this holder's hand any more; likewise the two below."""
        done = self.connection.execute(
            "DELETE FROM messages WHERE seq = ? AND state = 2 AND holder = ? AND deliveries = ?",
            (claimed.seq, holder, claimed.deliveries),
        )
        return done.rowcount == 1

    def delay(self, claimed: Claimed, holder: str, history: Retry, due: float) -> bool:
        """It keeps its place: due again, it comes before what was published later."""
        done = self.connection.execute(
            "UPDATE messages SET state = 1, due = ?, holder = NULL, deliveries = 0,"
            " tries = ?, parked = ?, first_failure = ?"
            " WHERE seq = ? AND state = 2 AND holder = ? AND deliveries = ?",
            (
                *(due, history.tries, history.parked, history.first_failure),
                *(claimed.seq, holder, claimed.deliveries),
            ),
        )
        return done.rowcount == 1

    def bury(
        self, claimed: Claimed, holder: str, history: Retry, reason: str, now: float, *, told: bool
    ) -> bool:
        headers = dict(claimed.envelope.headers)
        if not told:
            headers[UNTOLD] = "1"
        done = self.connection.execute(
            "UPDATE messages SET state = 3, holder = NULL, dead_reason = ?, dead_at = ?, tries = ?,"
            " first_failure = ?, headers = ? WHERE seq = ? AND state = 2 AND holder = ? AND deliveries = ?",
            (
                *(reason, now, history.tries, history.first_failure),
                json.dumps(headers) if headers else "",
                *(claimed.seq, holder, claimed.deliveries),
            ),
        )
        return done.rowcount == 1

    def release(self, claimed: Iterable[Claimed], holder: str) -> None:
        """Give back what was never handed out, as if it had not been taken."""
        self.connection.executemany(
            "UPDATE messages SET state = 0, holder = NULL, deliveries = deliveries - 1"
            " WHERE seq = ? AND state = 2 AND holder = ? AND deliveries = ?",
            [(row.seq, holder, row.deliveries) for row in claimed],
        )

    def renew(self, holder: str, alive_until: float) -> None:
        self.connection.execute(
            "INSERT INTO holders (id, alive_until) VALUES (?, ?)"
            " ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until",
            (holder, alive_until),
        )

    def end_holder(self, holder: str, now: float) -> None:
        """Whatever it has in hand is ready again, or dead when that happened too often."""
        self.connection.execute(
            "UPDATE messages SET state = 3, holder = NULL, dead_reason = 'delivery_limit', dead_at = ?,"
            " first_failure = CASE first_failure WHEN '' THEN 'delivery_limit' ELSE first_failure END"
            " WHERE state = 2 AND holder = ? AND deliveries > ?",
            (now, holder, DELIVERY_LIMIT),
        )
        self.connection.execute(
            "UPDATE messages SET state = 0, holder = NULL WHERE state = 2 AND holder = ?", (holder,)
        )
        self.connection.execute("DELETE FROM holders WHERE id = ?", (holder,))

    def wake(self, now: float) -> None:
        """Delayed messages that are due become ready; what dead holders had comes back."""
        self.connection.execute(
            "UPDATE messages SET state = 0, due = NULL WHERE state = 1 AND due <= ?", (now,)
        )
        lapsed = self.connection.execute("SELECT id FROM holders WHERE alive_until < ?", (now,)).fetchall()
        for (holder,) in lapsed:
            self.end_holder(holder, now)

    def next_due(self) -> float | None:
        """When `wake` has something to do."""
        (due,) = self.connection.execute("SELECT MIN(due) FROM messages WHERE state = 1").fetchone()
        (lapse,) = self.connection.execute("SELECT MIN(alive_until) FROM holders").fetchone()
        return min((time for time in (due, lapse) if time is not None), default=None)

    def ready_queues(self) -> list[int]:
        """Ids of queues with something ready, one index step each however long they are."""
        found: list[int] = []
        last = -1
        while True:
            row = self.connection.execute(
                "SELECT queue FROM messages WHERE state = 0 AND queue > ? ORDER BY queue LIMIT 1", (last,)
            ).fetchone()
            if row is None:
                return found
            last = row[0]
            found.append(last)

    def claim(self, queue: int, holder: str, limit: int, room: int) -> list[Claimed]:
        """The oldest ready message of each ordering key that is in nobody's hand, the oldest first: at most
        `limit`, and none after those that fill `room` (bytes). The last may go beyond it, so that a large one
        is not left.

        What waits for its key stays in the file, however much it is, and keeps nobody else waiting.
        """
        claimed: list[Claimed] = []
        for seq in self._free(queue, limit):
            row = self.connection.execute(
                "UPDATE messages SET state = 2, holder = ?, deliveries = deliveries + 1 WHERE seq = ?"
                " RETURNING seq, deliveries, ordering_key, tries, parked, first_failure, published_at,"
                "  message_id, type, headers, body",
                (holder, seq),
            ).fetchone()
            claimed.append(_claimed(queue, row))
            room -= claimed[-1].size
            if room <= 0:
                break
        return claimed

    def _free(self, queue: int, limit: int) -> list[int]:
        """Read one after another, because a statement that looks for each key's oldest reads them all."""
        held = self.connection.execute(
            "SELECT ordering_key FROM messages INDEXED BY messages_in_hand WHERE state = 2 AND queue = ?",
            (queue,),
        )
        taken = {key for (key,) in held if key}
        found: list[int] = []
        rows = self.connection.execute(
            "SELECT seq, ordering_key FROM messages WHERE state = 0 AND queue = ? ORDER BY seq", (queue,)
        )
        for seq, key in rows:
            if key in taken:
                continue
            found.append(seq)
            if len(found) == limit:
                break
            if key:
                taken.add(key)
        rows.close()
        return found

    def depths(self, routing_keys: Iterable[str], now: float) -> dict[str, Depth]:
        return {key: self._depth(key, now) for key in routing_keys}

    def _depth(self, routing_key: str, now: float) -> Depth:
        counts: dict[int, tuple[int, float]] = {
            state: (count, oldest)
            for state, count, oldest in self.connection.execute(
                "SELECT state, COUNT(*), MIN(published_at) FROM messages"
                " WHERE queue = (SELECT id FROM queues WHERE routing_key = ?) AND state IN (0, 1, 2, 3)"
                " GROUP BY state",
                (routing_key,),
            )
        }
        alive = [oldest for state, (_, oldest) in counts.items() if state != DEAD]
        return Depth(
            ready=counts.get(READY, (0, 0.0))[0],
            unacked=counts.get(IN_HAND, (0, 0.0))[0],
            delayed=counts.get(DELAYED, (0, 0.0))[0],
            dead_letters=counts.get(DEAD, (0, 0.0))[0],
            oldest_age_seconds=max(0.0, now - min(alive)) if alive else None,
        )

    def delays(self, now: float) -> dict[float, int]:
        """Delayed messages by the rung of the time that is left."""
        found: dict[float, int] = {}
        for (due,) in self.connection.execute("SELECT due FROM messages WHERE state = 1"):
            step = rung(max(0.0, due - now))
            found[step] = found.get(step, 0) + 1
        return found


def _claimed(queue: int, row: tuple[Any, ...]) -> Claimed:
    seq, deliveries, key, tries, parked, first_failure, published_at, message_id, kind, headers, body = row
    return Claimed(
        seq=seq,
        queue=queue,
        deliveries=deliveries,
        envelope=Envelope(body, kind, message_id, key, json.loads(headers) if headers else {}),
        history=Retry(tries, parked, first_failure),
        published_at=published_at,
        size=len(body) + len(headers),
    )
