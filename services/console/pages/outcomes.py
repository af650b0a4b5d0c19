"""The conversations and handoffs behind a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from metachat.escalation.v1 import insight_pb2
from nicegui import ui

from services.console.charts import quoted
from services.console.figure_charts import reason_word
from services.console.frame import AGENTS, Visit, Words, moment, operator_page, tenant_page
from services.console.listing import cell, chip, listed, span_chip
from services.console.numbers import seconds
from services.console.periods import instant, period_of

_Kind = insight_pb2.ListOutcomesRequest.Kind
_HANDOFFS: Final = ("HANDOFFS", "CLAIMED", "WAITING_NOW")
_KINDS: Final = frozenset(_Kind.keys()) - {"KIND_UNSPECIFIED"}
_PAGE: Final = 50
_LONGEST: Final = 10**9


@tenant_page("outcomes", area="overview", roles=AGENTS, title="outcomes.title")
async def page(
    visit: Visit, kind: str = "", since: str = "", until: str = "", wait_from: str = "", wait_to: str = ""
) -> None:
    """Of one tenant."""
    await _outcomes(visit, kind, (since, until), (wait_from, wait_to))


@operator_page("outcomes", area="overview", title="outcomes.title")
async def all_outcomes(
    visit: Visit, kind: str = "", since: str = "", until: str = "", wait_from: str = "", wait_to: str = ""
) -> None:
    """Of all tenants."""
    await _outcomes(visit, kind, (since, until), (wait_from, wait_to))


async def _outcomes(visit: Visit, kind: str, between: tuple[str, str], waited: tuple[str, str]) -> None:
    texts = visit.texts
    if kind not in _KINDS:
        kind = "CONVERSATIONS"
    begin, end = (instant(text) for text in between)
    low, high = (_whole(text) for text in waited)
    request = insight_pb2.ListOutcomesRequest(
        tenant_id=visit.tenant_id,
        all_tenants=not visit.tenant_id,
        kind=_Kind.Value(kind),
        wait_from_seconds=low or 0,
        wait_to_seconds=high,
        page_size=_PAGE,
    )
    if begin or end:
        request.period.CopyFrom(period_of(begin, end))
    with ui.element("div").classes("line"):
        Words("a", texts("turns.back")).props(
            f"href={quoted(visit.path('overview') if visit.tenant_id else '/all/overview')}"
        )
        if begin and end and kind != "WAITING_NOW":
            span_chip(visit, begin, end)
        chip(texts(f"outcomes.kind.{kind}"))

    async def fetch(token: str) -> tuple[Sequence[Any], str]:
        request.page_token = token
        found = await visit.calls.insights.ListOutcomes(request)
        return found.outcomes, found.next_page_token

    keys = ["began", "conversation", "channel"]
    if kind in _HANDOFFS:
        keys += ["reason", "waited", "claimed_by"]
    if not visit.tenant_id:
        keys.insert(1, "tenant")
    await listed(
        visit,
        [texts(f"outcomes.{key}") for key in keys],
        fetch,
        lambda row: _row(visit, row, handoffs=kind in _HANDOFFS),
        caption=texts("outcomes.title"),
        empty=texts("outcomes.empty"),
    )


def _row(visit: Visit, row: insight_pb2.CountedOutcome, *, handoffs: bool) -> None:
    home = f"/t/{row.tenant_id}"
    with ui.element("td").classes("nowrap"):
        moment(visit, row.began_at)
    if not visit.tenant_id:
        cell(row.tenant_id, link=f"{home}/overview")
    cell(visit.texts("turns.open"), link=f"{home}/conversations/{row.conversation_id}")
    key = f"figures.channel.{row.channel}"
    cell(visit.texts(key) if key in visit.texts else row.channel)
    if handoffs:
        cell(reason_word(visit, row.reason))
        cell(seconds(row.waited_seconds, visit.locale) if row.HasField("waited_seconds") else "—")
        cell(row.claimed_by, wide=True)


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) < _LONGEST else None
