"""Changes of waiting lists as they happen, for those who follow one.

Each change has a number that rises within its tenant and is written with it; who was cut off names the last
one that arrived and misses nothing. Of several changes of one handoff in a row the last one may stand for
all. Commits of this process are seen at once, those of others by one look at all that are followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection, RowMapping

from services.common.errors import ServiceError, invalid_field
from services.common.logs import get_logger
from services.escalation.handoffs import rules
from services.escalation.store import handoffs as store
from services.escalation.store import wakeups
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory

_PAGE: Final = 200
# After every id.
_LAST: Final = "\x7f"
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """A handoff as it is now; `cursor` resumes after it."""

    row: RowMapping
    cursor: str


class HandoffWatch:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(self, database: Database, directory: TenantDirectory, *, poll_seconds: float = 0.4) -> None:
        """`poll_seconds`: how often changes of other processes are looked for."""
        self._database = database
        self._directory = directory
        self._poll_seconds = poll_seconds
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._seen: dict[str, int] = {}
        self._poller: asyncio.Task[None] | None = None
        self._deafen: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Begin; inside the running event loop."""
        self._deafen = self._database.wakeups.listen(self._on_commit)
        self._poller = asyncio.create_task(self._poll(), name="handoff-watch")

    async def close(self) -> None:
        """Stop; who still follows hears nothing more."""
        self._deafen()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
            self._poller = None

    async def watch(self, tenant_id: str, cursor: str) -> AsyncIterator[Change]:
        """Everything that is open, then each change; with a cursor only what changed after it.

        Raises ServiceError: INVALID for a cursor that is none of ours, and what the database raises.
        """
        tenant = await self._directory.get(tenant_id)
        after = _position(cursor)
        changed = asyncio.Event()
        followers = self._followers.setdefault(tenant.id, set())
        followers.add(changed)  # before the first read, so that no change falls between
        try:
            if after is None:
                start, rows = await self._database.read(partial(_open, tenant_id=tenant.id))
                for row in rows:
                    yield _change(row)
                after = max([(start, _LAST), *((row["change_seq"], row["id"]) for row in rows)])
            while True:
                changed.clear()
                rows = await self._database.read(
                    partial(store.changed, tenant_id=tenant.id, after=after, states=(), limit=_PAGE)
                )
                for row in rows:
                    after = row["change_seq"], row["id"]
                    yield _change(row)
                if len(rows) < _PAGE:
                    await changed.wait()
        finally:
            followers.discard(changed)
            if not followers and self._followers.get(tenant.id) is followers:
                del self._followers[tenant.id]
                self._seen.pop(tenant.id, None)

    def _on_commit(self, topics: frozenset[str]) -> None:
        if wakeups.HANDOFFS in topics:
            for tenant_id in self._followers:
                self._wake(tenant_id)

    def _wake(self, tenant_id: str) -> None:
        for event in self._followers.get(tenant_id, ()):
            event.set()

    async def _poll(self) -> None:
        away = False
        while True:
            await asyncio.sleep(self._poll_seconds)
            followed = list(self._followers)
            if not followed:
                continue
            try:
                clocks = await self._database.read(partial(store.clocks_of, tenant_ids=followed))
            except ServiceError as error:
                if not away:
                    _log.warning("waiting lists cannot be followed", reason=error.detail or error.message)
                away = True
                continue
            away = False
            for tenant_id in followed:
                clock = clocks.get(tenant_id, 0)
                if self._seen.get(tenant_id) != clock and tenant_id in self._followers:
                    self._seen[tenant_id] = clock
                    self._wake(tenant_id)


def _open(connection: Connection, tenant_id: str) -> tuple[int, Sequence[RowMapping]]:
    # The clock first: what changes after it comes again, and nothing is passed over.
    start = store.clocks_of(connection, [tenant_id]).get(tenant_id, 0)
    return start, store.changed(connection, tenant_id, after=(0, ""), states=rules.OPEN, limit=None)


def _change(row: RowMapping) -> Change:
    return Change(row, f"{row['change_seq']}-{row['id']}")


def _position(cursor: str) -> tuple[int, str] | None:
    if not cursor:
        return None
    seq, _, handoff_id = cursor.partition("-")
    if not (seq.isascii() and seq.isdecimal() and len(seq) < 19 and handoff_id.isalnum()):
        raise invalid_field("cursor", "take it from the last update as it is")
    return int(seq), handoff_id
