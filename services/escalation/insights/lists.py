"""The turns, conversations and handoffs behind figures, and events; a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from services.escalation.insights import counts
from services.escalation.insights.figures import Period
from services.escalation.insights.search import Run, Wanted, runs
from services.escalation.policy import Action
from services.escalation.store import events as event_store
from services.escalation.store import insight as store
from services.escalation.store import insight_lists as rows
from services.escalation.store.database import Database
from services.escalation.store.insight_lists import Place

Row = Mapping[Any, Any]
# A page of a list is one call of a person: what it may look through is bounded.
_LOOKED_THROUGH: Final = 5_000
_TURNS_LOOKED_THROUGH: Final = 40_000
_CHUNK: Final = 500
_FIRST_LOOK: Final = 7 * counts.QUARTERS


@dataclass(frozen=True, slots=True)
class EventsWanted:
    """What an event must have; what is empty or None asks for all."""

    type: str = ""
    conversation_id: str = ""
    turn_id: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    reason: str = ""
    action: str = ""
    text: str = ""

    def fits(self, event: Any) -> bool:
        """Whether its data hold what is wanted."""
        data = event.data
        if self.reason and data.get("reason") != self.reason:
            return False
        if self.action and data.get("action") != self.action:
            return False
        return not self.text or any(self.text.casefold() in one.casefold() for one in _texts(data))


@dataclass(frozen=True, slots=True)
class EventsFound:
    """Events, where the list goes on (None: it ends), and how far back was looked for a page not full."""

    events: Sequence[Any]
    next: Place | None
    searched_to: datetime | None


@dataclass(frozen=True, slots=True)
class TurnsFound:
    """The same of turns."""

    turns: Sequence[Row]
    next: Place | None
    searched_to: datetime | None


class Lists:
    """Reads what figures count. An empty tenant stands for all of them."""

    def __init__(self, database: Database) -> None:
        """The database is opened by whoever made it."""
        self._database = database

    async def turns(
        self, tenant_id: str, period: Period, wanted: Wanted, *, before: Place | None, limit: int
    ) -> TurnsFound:
        """Turns of the whole quarters that a period touches, as figures count them, the newest first."""
        return await self._database.read(
            partial(_turns, tenant_id=tenant_id, period=period, wanted=wanted, before=before, limit=limit)
        )

    async def named(
        self, tenant_id: str, wanted: Wanted, ids: Sequence[str], *, fits: Callable[[Row], bool], limit: int
    ) -> Sequence[Row]:
        """The first `limit` of these turns that are wanted and fit; their scores are not looked at."""
        return await self._database.read(
            partial(_named, tenant_id=tenant_id, wanted=wanted, ids=ids, fits=fits, limit=limit)
        )

    async def conversations(
        self, tenant_id: str, period: Period, *, before: Place | None, limit: int, **which: bool
    ) -> Sequence[Row]:
        """See `store.insight_lists.begun_conversations`."""
        return await self._database.read(
            lambda c: rows.begun_conversations(
                c, tenant_id, period.begin, period.end, **which, before=before, limit=limit
            )
        )

    async def handoffs(
        self, tenant_id: str, period: Period | None, *, before: Place | None, limit: int, **which: Any
    ) -> Sequence[Row]:
        """See `store.insight_lists.begun_handoffs`; without a period whenever they began."""
        begin, end = (None, None) if period is None else (period.begin, period.end)
        return await self._database.read(
            lambda c: rows.begun_handoffs(c, tenant_id, begin, end, **which, before=before, limit=limit)
        )

    async def events(
        self, tenant_id: str, wanted: EventsWanted, *, before: Place | None, limit: int
    ) -> EventsFound:
        """Events, the newest first, out of the next few thousand."""
        return await self._database.read(
            partial(_events, tenant_id=tenant_id, wanted=wanted, before=before, limit=limit)
        )


def _turns(
    connection: Connection, tenant_id: str, period: Period, wanted: Wanted, before: Place | None, limit: int
) -> TurnsFound:
    span = counts.span_of(period.begin, period.end)
    if before is not None:
        span = counts.Span(span.first, min(span.end, counts.quarter_of(before.moment) + 1))
    found: list[Row] = []
    looked = 0
    # The counts say in which quarters there is anything at all: what is rare is found as quickly as the rest,
    # but for what is rare only together with something else.
    for run in _runs(connection, tenant_id, span, wanted):
        if looked > _TURNS_LOOKED_THROUGH:
            place = Place(counts.begin_of(run.span.end), "")
            return TurnsFound(found, place, place.moment)
        found += rows.turns_between(
            connection, tenant_id, run.span, wanted, before=before, limit=limit + 1 - len(found)
        )
        looked += run.searched
        if len(found) > limit:
            last = found[limit - 1]
            return TurnsFound(found[:limit], Place(last["completed_at"], last["id"]), None)
    return TurnsFound(found, None, None)


def _runs(connection: Connection, tenant_id: str, span: counts.Span, wanted: Wanted) -> Iterator[Run]:
    """Where such turns are, the latest first; counts of what lies far back are read once they are needed."""
    end, size = span.end, _FIRST_LOOK
    while end > span.first:
        part = counts.Span(max(span.first, end - size), end)
        yield from runs(store.counted_days(connection, tenant_id, part, wanted.parts), part, wanted)
        end, size = part.first, size * 4


def _named(
    connection: Connection,
    tenant_id: str,
    wanted: Wanted,
    ids: Sequence[str],
    fits: Callable[[Row], bool],
    limit: int,
) -> Sequence[Row]:
    found: list[Row] = []
    for start in range(0, len(ids), _CHUNK):
        found += filter(fits, rows.turns_named(connection, tenant_id, wanted, ids[start : start + _CHUNK]))
        if len(found) >= limit:
            break
    return found[:limit]


def _events(
    connection: Connection, tenant_id: str, wanted: EventsWanted, before: Place | None, limit: int
) -> EventsFound:
    found: list[Any] = []
    looked, place = 0, before
    conversation_id = wanted.conversation_id
    if wanted.turn_id and not conversation_id:
        # Events are found by their conversation, which is what the index knows.
        conversation_id = rows.conversation_of(connection, wanted.turn_id)
    while looked < _LOOKED_THROUGH:
        query = event_store.newest_events(
            tenant_id,
            type_=wanted.type,
            conversation_id=conversation_id,
            turn_id=wanted.turn_id,
            begin=wanted.begin,
            end=wanted.end,
            before=place,
            limit=_CHUNK,
        )
        chunk = connection.execute(query).all()
        for event in chunk:
            if not wanted.fits(event):
                continue
            found.append(event)
            if len(found) > limit:
                last = found[limit - 1]
                return EventsFound(found[:limit], Place(last.created_at, last.id), None)
        looked += len(chunk)
        if len(chunk) < _CHUNK:
            return EventsFound(found, None, None)
        place = Place(chunk[-1].created_at, chunk[-1].id)
    return EventsFound(found, place, None if place is None else place.moment)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def action_word(name: str) -> str:
    """An action as it is stored; empty for the one that stands for nothing."""
    return "" if name == "ACTION_UNSPECIFIED" else str(Action(name))
