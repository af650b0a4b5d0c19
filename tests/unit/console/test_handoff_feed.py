"""The feed of a waiting list: one stream for many pages, what is new, what is gone, who may go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from metachat.escalation.v1.handoff_pb2 import (
    Handoff,
    HandoffUpdate,
    ListHandoffsRequest,
    ListHandoffsResponse,
    WatchHandoffsRequest,
)

from services.common.errors import Kind, ServiceError
from services.console.calls import Calls
from services.console.handoff_feed import Change, HandoffFeed


class WaitingListStub:
    """HandoffService as the feed calls it: lists `rows`, streams what is put into `updates`."""

    def __init__(self, *rows: Handoff) -> None:
        self.handoffs = self
        self.rows = rows
        self.updates: asyncio.Queue[HandoffUpdate | ServiceError] = asyncio.Queue()
        self.cursors: list[str] = []

    async def ListHandoffs(self, request: ListHandoffsRequest) -> ListHandoffsResponse:
        # One on each page.
        place = int(request.page_token or 0)
        following = str(place + 1) if place + 1 < len(self.rows) else ""
        return ListHandoffsResponse(handoffs=self.rows[place : place + 1], next_page_token=following)

    async def WatchHandoffs(self, request: WatchHandoffsRequest) -> AsyncIterator[HandoffUpdate]:
        self.cursors.append(request.cursor)
        while True:
            update = await self.updates.get()
            if isinstance(update, ServiceError):
                raise update
            yield update

    def send(self, row: Handoff, cursor: str = "1-a") -> None:
        self.updates.put_nowait(HandoffUpdate(handoff=row, cursor=cursor))


def row(name: str, **fields: Any) -> Handoff:
    return Handoff(id=name, **({"state": Handoff.WAITING} | fields))


class Page:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[Change] = asyncio.Queue()

    def __call__(self, change: Change) -> None:
        self.changes.put_nowait(change)

    async def next(self) -> Change:
        return await asyncio.wait_for(self.changes.get(), 10)


def calls(stub: WaitingListStub) -> Calls:
    return cast(Calls, stub)


async def test_all_pages_of_the_list_are_read_and_one_stream_serves_all() -> None:
    stub, feed, one, other = (
        WaitingListStub(row("a"), row("b"), row("c")),
        HandoffFeed("metrica"),
        Page(),
        Page(),
    )
    ends = [await feed.follow(calls(stub), page) for page in (one, other)]
    assert list(feed.rows) == ["a", "b", "c"]
    stub.send(row("d"))
    for page in (one, other):
        change = await page.next()
        assert [each.id for each in change.rows] == ["d"] and change.arrived == ["d"]
    assert stub.cursors == [""]
    for end in ends:
        end()
    assert feed.rows  # and nobody is told any more: read anew when somebody comes


async def test_what_is_known_already_is_no_news() -> None:
    stub, feed, page = (
        WaitingListStub(row("a", last_customer_message="Hello")),
        HandoffFeed("metrica"),
        Page(),
    )
    end = await feed.follow(calls(stub), page)
    stub.send(row("a", last_customer_message="Hello"))  # the stream begins with all there is
    stub.send(row("a", last_customer_message="Hello?"))
    change = await page.next()
    assert change.wrote == ["a"] and not change.arrived
    stub.send(row("a", state=Handoff.CLAIMED, claimed_by="Ana", last_customer_message="Hello?"))
    change = await page.next()
    assert change.rows[0].claimed_by == "Ana" and not change.wrote and not change.arrived
    stub.send(row("a", last_customer_message="Hello?"))  # given back to the list: that is new again
    assert (await page.next()).arrived == ["a"]
    stub.send(row("a", state=Handoff.CLOSED))
    assert (await page.next()).gone == ["a"]
    end()


async def test_a_stream_that_was_cut_goes_on_where_it_was() -> None:
    stub, feed, page = WaitingListStub(), HandoffFeed("metrica"), Page()
    end = await feed.follow(calls(stub), page)
    stub.send(row("a"), "7-a")
    await page.next()
    stub.updates.put_nowait(ServiceError(Kind.UNAVAILABLE, "away"))
    stub.send(row("b"), "8-b")
    assert (await page.next()).arrived == ["b"]
    assert stub.cursors == ["", "7-a"]
    end()


async def test_who_may_no_longer_look_does_not_end_it_for_the_others() -> None:
    ended, good = WaitingListStub(), WaitingListStub()
    feed, first, second = HandoffFeed("metrica"), Page(), Page()
    ends = [await feed.follow(calls(ended), first), await feed.follow(calls(good), second)]
    ended.updates.put_nowait(ServiceError(Kind.UNAUTHENTICATED, "signed out"))
    good.send(row("a"))
    assert (await second.next()).arrived == ["a"]
    assert first.changes.empty()
    for end in ends:
        end()
