"""The one thread of a process that touches the queue file: jobs of many tasks share a commit.

Accepted means safe: a group with a publish in it is synced to the disk (synchronous = FULL) before anybody
is told. All else is committed without a sync (NORMAL): a power cut may take it back, and then a message is
handed out once more.
"""

import asyncio
import bisect
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.common.logs import get_logger
from services.common.queue.embedded_file import Claimed, QueueFile, connect
from services.common.queue.port import QueueName, QueueUnavailable

_log = get_logger(__name__)

_GROUP = 256
_SHORTEST_PAUSE = 0.005
_LOCK_PATIENCE = 5.0
_STOP = None


@dataclass(slots=True)
class Job:
    """`run` inside a transaction; `then`, in the thread as well, once it is committed."""

    run: Callable[[QueueFile, float], Any]
    durable: bool = False
    then: Callable[[], None] | None = None
    future: asyncio.Future[Any] | None = None
    outcome: Any = None
    failure: Exception | None = None

    @property
    def abandoned(self) -> bool:
        return self.future is not None and self.future.cancelled()


@dataclass(eq=False)
class Claims:
    """One consumer as the thread sees it, and changed only there.

    What is in hand is kept as rows rather than as a count, so that settling one again after a failed commit
    counts once.
    """

    holder: str
    prefetch: int
    most_bytes: int
    arrived: Callable[[list[tuple[QueueName, Claimed]]], None]
    wanted: set[int] = field(default_factory=set)
    names: dict[int, QueueName] = field(default_factory=dict)
    # Sizes by (seq, deliveries), by queue.
    in_hand: dict[int, dict[tuple[int, int], int]] = field(default_factory=dict)
    size: int = 0
    # The queue that was claimed from last.
    turn: int = -1
    renew_at: float = 0.0

    def want(self, queue_id: int, name: QueueName) -> None:
        self.names[queue_id] = name
        self.wanted.add(queue_id)

    @property
    def room(self) -> int:
        """How many more bytes may come into hand."""
        return self.most_bytes - self.size

    def free(self, queue_id: int) -> int:
        """How many more of this queue may come into hand."""
        if queue_id not in self.wanted or self.room <= 0:
            return 0
        return self.prefetch - len(self.in_hand.get(queue_id, ()))

    def in_turn(self, queue_ids: list[int]) -> list[int]:
        """Beginning after the queue that was claimed from last: where bytes are short, each has its turn."""
        place = bisect.bisect_right(queue_ids, self.turn)
        return queue_ids[place:] + queue_ids[:place]

    def taken(self, row: Claimed) -> None:
        self.in_hand.setdefault(row.queue, {})[(row.seq, row.deliveries)] = row.size
        self.size += row.size

    def settled(self, row: Claimed) -> None:
        held = self.in_hand.get(row.queue)
        if held is not None:
            self.size -= held.pop((row.seq, row.deliveries), 0)
            if not held:
                del self.in_hand[row.queue]


class Writer:
    """Runs jobs and, for registered consumers, claims what is ready and keeps their lease alive."""

    def __init__(self, path: Path, *, lease_seconds: float, poll_seconds: float) -> None:
        self._path = path
        self._lease = lease_seconds
        self._poll = poll_seconds
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._serve, name="queue-writer", daemon=True)
        self._file: QueueFile | None = None
        self._connection: sqlite3.Connection | None = None
        self._synchronous = ""
        self._claims: list[Claims] = []
        self._changes = -1
        self._next_due: float | None = None
        self._look = True
        self._quiet = _SHORTEST_PAUSE
        self._closed = False

    def start(self) -> None:
        self._thread.start()

    async def close(self) -> None:
        """After what was submitted before."""
        if not self._closed:
            self._closed = True
            self._jobs.put(_STOP)
            await asyncio.to_thread(self._thread.join)

    async def submit(
        self,
        run: Callable[[QueueFile, float], Any],
        *,
        durable: bool = False,
        then: Callable[[], None] | None = None,
    ) -> Any:
        """The result of `run` once committed; raises QueueUnavailable."""
        if self._closed:
            raise QueueUnavailable("the queue is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put(Job(run, durable, then, future))
        return await future

    def post(self, run: Callable[[QueueFile, float], Any], *, then: Callable[[], None] | None = None) -> None:
        """Nobody waits for this one."""
        if not self._closed:
            self._jobs.put(Job(run, then=then))

    def register(self, claims: Claims) -> None:
        """In the thread, as `then` of a job."""
        self._claims.append(claims)
        self._look = True

    def unregister(self, claims: Claims) -> None:
        """In the thread, inside a job: what follows in the same transaction claims nothing for it."""
        if claims in self._claims:
            self._claims.remove(claims)

    def look(self) -> None:
        """In the thread, as `then` of a job: there may be something to claim now."""
        self._look = True

    def _serve(self) -> None:
        going = True
        while going:
            jobs, going = self._collect()
            try:
                self._cycle([job for job in jobs if not job.abandoned])
            except Exception as failure:  # the thread's boundary: it must live on, its callers be told
                _log.exception("queue_file_failed", path=str(self._path))
                self._disconnect()
                for job in jobs:
                    job.failure = job.failure or QueueUnavailable(f"the queue file failed: {failure}")
            self._tell(jobs)
        self._disconnect()

    def _collect(self) -> tuple[list[Job], bool]:
        jobs: list[Job] = []
        try:
            # Without consumers there is nothing to watch for: sleep until somebody calls.
            job = self._jobs.get(timeout=self._pause() if self._claims else None)
            while True:
                if job is _STOP:
                    return jobs, False
                jobs.append(job)
                if len(jobs) == _GROUP:
                    return jobs, True
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, True

    def _pause(self) -> float:
        """How long to sleep before looking again: longer and longer while nothing happens."""
        if self._look:
            return 0.0
        self._quiet = min(self._quiet * 1.1, self._poll)
        return self._quiet

    def _cycle(self, jobs: list[Job]) -> None:
        try:
            file = self._connected()
            now = time.time()
            renewing = [claims for claims in self._claims if claims.in_hand and now >= claims.renew_at]
            if not jobs and not renewing and not self._something_to_claim(file, now):
                return
            try:
                self._transaction(file, jobs, renewing, now)
            except sqlite3.Error:
                if len(jobs) < 2:
                    raise
                # One bad job must not take its neighbours with it.
                for job in jobs:
                    self._alone(file, job, now)
        except (sqlite3.Error, QueueUnavailable) as failure:
            if self._file is not None and not _busy(failure):
                self._disconnect()
            self._look = True
            for job in jobs:
                job.failure = QueueUnavailable(f"the queue file {self._path} cannot be written: {failure}")

    def _alone(self, file: QueueFile, job: Job, now: float) -> None:
        try:
            self._transaction(file, [job], [], now)
        except sqlite3.Error as failure:
            job.failure = QueueUnavailable(f"the queue file {self._path} cannot be written: {failure}")

    def _transaction(self, file: QueueFile, jobs: list[Job], renewing: list[Claims], now: float) -> None:
        self._begin(durable=any(job.durable for job in jobs))
        claimed: list[tuple[Claims, list[Claimed]]] = []
        try:
            for claims in renewing:
                file.renew(claims.holder, now + self._lease)
            for job in jobs:
                job.outcome = job.run(file, now)
            if self._claims:
                claimed = self._claim(file, now)
                self._next_due = file.next_due()
            self._execute("COMMIT")
        except BaseException:
            if self._connection is not None and self._connection.in_transaction:
                self._execute("ROLLBACK")
            file.forget_queues()
            raise
        self._look = False
        self._quiet = min(_SHORTEST_PAUSE, self._poll)
        for claims in renewing:
            claims.renew_at = now + self._lease / 3
        for job in jobs:
            if job.then is not None:
                job.then()
        for claims, rows in claimed:
            claims.renew_at = now + self._lease / 3
            for row in rows:
                claims.taken(row)
            named = [(claims.names[row.queue], row) for row in rows]
            self._loop.call_soon_threadsafe(claims.arrived, named)

    def _claim(self, file: QueueFile, now: float) -> list[tuple[Claims, list[Claimed]]]:
        if self._next_due is not None and self._next_due <= now:
            file.wake(now)
        ready = file.ready_queues()
        result: list[tuple[Claims, list[Claimed]]] = []
        for claims in self._claims:
            rows: list[Claimed] = []
            room = claims.room
            for queue_id in claims.in_turn(ready):
                free = claims.free(queue_id)
                if free > 0 and room > 0:
                    found = file.claim(queue_id, claims.holder, free, room)
                    room -= sum(row.size for row in found)
                    rows += found
                    claims.turn = queue_id
            if rows:
                file.renew(claims.holder, now + self._lease)
                result.append((claims, rows))
        return result

    def _something_to_claim(self, file: QueueFile, now: float) -> bool:
        """Reads only, and next to nothing while nobody wrote."""
        if not self._claims:
            return False
        changes = file.changes()
        if changes != self._changes:
            self._changes = changes
            self._look = True
        if self._look:
            self._next_due = file.next_due()
            self._look = False
            ready = file.ready_queues()
            if any(claims.free(queue_id) > 0 for queue_id in ready for claims in self._claims):
                return True
        return self._next_due is not None and self._next_due <= now

    def _begin(self, *, durable: bool) -> None:
        wanted = "FULL" if durable else "NORMAL"
        if wanted != self._synchronous:
            self._execute(f"PRAGMA synchronous = {wanted}")
            self._synchronous = wanted
        deadline = time.monotonic() + _LOCK_PATIENCE
        pause = 0.0002
        while True:
            try:
                self._execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as failure:
                if not _busy(failure) or time.monotonic() > deadline:
                    raise
            # Another process writes. SQLite's own waiting grows to a tenth of a second: too long.
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            pause = min(pause * 1.5, 0.005)

    def _connected(self) -> QueueFile:
        if self._file is None:
            self._connection = connect(self._path)
            self._file = QueueFile(self._connection)
            self._synchronous, self._changes, self._look = "", -1, True
        return self._file

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._file = None

    def _execute(self, statement: str) -> None:
        if self._connection is not None:
            self._connection.execute(statement)

    def _tell(self, jobs: list[Job]) -> None:
        waiting = [job for job in jobs if job.future is not None]
        if waiting and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_resolve, waiting)


def _resolve(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future is None or job.future.done():
            continue
        if job.failure is not None:
            job.future.set_exception(job.failure)
        else:
            job.future.set_result(job.outcome)


def _busy(failure: Exception) -> bool:
    return getattr(failure, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
