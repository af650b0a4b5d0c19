"""What is open in a tenant's waiting list, as it changes: one stream for a tenant and process, for all pages.

A page gives its own calls; the stream is opened with those of somebody who still looks, so that nobody is
served what they may no longer see for longer than their own stream would.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from metachat.escalation.v1.handoff_pb2 import Handoff, ListHandoffsRequest, WatchHandoffsRequest

from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger
from services.console.calls import Calls

_PAGE: Final = 500
# Of changes that come together, one message to each page.
_GATHER_SECONDS: Final = 0.02
_FIRST_PAUSE: Final = 0.3
_LONGEST_PAUSE: Final = 5.0
# The order by channel window moves with time: now and then all places are read anew.
_RANK_SECONDS: Final = 60.0
_OPEN: Final = (Handoff.WAITING, Handoff.CLAIMED)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What changed together: handoffs that are open, ids of those that are not any more, and ids of which
    `arrived` are new on the list and in `wrote` the customer wrote again.
    """

    rows: list[Handoff]
    gone: list[str]
    arrived: list[str] = field(default_factory=list)
    wrote: list[str] = field(default_factory=list)


Listener = Callable[[Change], None]


class HandoffFeed:
    """The open handoffs of one tenant."""

    def __init__(self, tenant_id: str) -> None:
        """It runs while somebody follows."""
        self._tenant_id = tenant_id
        self._followers: dict[Listener, Calls] = {}
        self._task: asyncio.Task[None] | None = None
        self._loaded = False
        self._loading = asyncio.Lock()
        self._change = Change([], [])
        self._dirty: dict[str, None] = {}
        self._flush: asyncio.TimerHandle | None = None
        self.rows: dict[str, Handoff] = {}
        # Of each its place, the higher the sooner: the priority without the minutes that count for everybody.
        self.ranks: dict[str, float] = {}

    async def follow(self, calls: Calls, listener: Listener) -> Callable[[], None]:
        """Have the rows ready and `listener` told of each change; gives what ends it. Raises ServiceError."""
        async with self._loading:
            if not self._loaded:
                self.rows = await self._read(calls)
                self.ranks = {row.id: _rank_now(row) for row in self.rows.values()}
                self._loaded = True
        self._followers[listener] = calls
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="handoff-feed")

        def end() -> None:
            self._followers.pop(listener, None)
            if not self._followers and self._task is not None:
                self._task.cancel()
                self._task = None
                self._loaded = False

        return end

    async def _read(self, calls: Calls) -> dict[str, Handoff]:
        rows: dict[str, Handoff] = {}
        token = ""
        while True:
            answer = await calls.handoffs.ListHandoffs(
                ListHandoffsRequest(tenant_id=self._tenant_id, page_size=_PAGE, page_token=token)
            )
            rows.update((row.id, row) for row in answer.handoffs)
            token = answer.next_page_token
            if not token:
                return rows

    async def _run(self) -> None:
        ranking = asyncio.create_task(self._rank(), name="handoff-ranks")
        try:
            await self._watch()
        finally:
            ranking.cancel()

    async def _watch(self) -> None:
        cursor = ""
        pause = _FIRST_PAUSE
        while True:
            calls = next(iter(self._followers.values()))
            try:
                request = WatchHandoffsRequest(tenant_id=self._tenant_id, cursor=cursor)
                async for update in calls.handoffs.WatchHandoffs(request):
                    cursor, pause = update.cursor, _FIRST_PAUSE
                    self._put(update.handoff)
            except ServiceError as error:
                if error.kind is Kind.INVALID:
                    cursor = ""
                if error.kind in (Kind.UNAUTHENTICATED, Kind.FORBIDDEN):
                    self._drop(calls)
                _log.info("waiting list cut off", tenant=self._tenant_id, kind=error.kind.value)
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _drop(self, calls: Calls) -> None:
        """Whose right ended is asked for no more; their page stays as it is, its own calls say why."""
        if len(self._followers) > 1:
            for listener in [each for each, own in self._followers.items() if own is calls]:
                del self._followers[listener]

    async def _rank(self) -> None:
        while True:
            await asyncio.sleep(_RANK_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
            if not any(row.HasField("window_ends_at") for row in self.rows.values()):
                continue
            try:
                rows = await self._read(next(iter(self._followers.values())))
            except ServiceError:
                continue
            for row in rows.values():
                known = self.rows.get(row.id)
                if known is not None:
                    self.ranks[row.id] = _rank_now(row)
                    self._mark(row.id)

    def _put(self, handoff: Handoff) -> None:
        known = self.rows.get(handoff.id)
        if handoff.state not in _OPEN:
            if known is not None:
                del self.rows[handoff.id]
                self.ranks.pop(handoff.id, None)
                self._mark(handoff.id)
            return
        if known is None or (known.state == Handoff.CLAIMED and handoff.state == Handoff.WAITING):
            self._change.arrived.append(handoff.id)
        elif handoff.last_customer_message != known.last_customer_message:
            self._change.wrote.append(handoff.id)
        elif _same(known, handoff):
            return
        self.rows[handoff.id] = handoff
        self.ranks[handoff.id] = _rank_now(handoff)
        self._mark(handoff.id)

    def _mark(self, handoff_id: str) -> None:
        self._dirty[handoff_id] = None
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._flush = None
        ids, self._dirty = list(self._dirty), {}
        gathered, self._change = self._change, Change([], [])
        change = Change(
            [self.rows[each] for each in ids if each in self.rows],
            [each for each in ids if each not in self.rows],
            gathered.arrived,
            gathered.wrote,
        )
        for listener in tuple(self._followers):
            listener(change)


def _rank_now(handoff: Handoff) -> float:
    return handoff.priority - time.time() / 60


def _same(one: Handoff, other: Handoff) -> bool:
    """Whether nothing changed but the time."""
    return (one.state, one.claimed_by, one.claimed_by_id, one.timed_out, one.window_ends_at) == (
        other.state,
        other.claimed_by,
        other.claimed_by_id,
        other.timed_out,
        other.window_ends_at,
    )


# By tenant; a feed without followers holds nothing open.
_FEEDS: Final[dict[str, HandoffFeed]] = {}


def feed_of(tenant_id: str) -> HandoffFeed:
    """The tenant's feed in this process."""
    return _FEEDS.setdefault(tenant_id, HandoffFeed(tenant_id))
