"""Lists in pages, where rows are added below as long as there are more; and what stands in them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from metachat.escalation.v1 import policy_pb2
from nicegui import ui

from services.console.charts import quoted
from services.console.frame import Visit, Words, moment

_Action = policy_pb2.Decision.Action

_KINDS: Final = {
    _Action.CONTINUE: "good",
    _Action.SEND_WITH_DISCLAIMER: "",
    _Action.SUGGEST_REVIEW: "warn",
    _Action.IMMEDIATE_ESCALATION: "bad",
}

Fetch = Callable[[str], Awaitable[tuple[Sequence[Any], str]]]


async def listed(
    visit: Visit,
    columns: Sequence[str],
    fetch: Fetch,
    draw: Callable[[Any], None],
    *,
    caption: str,
    empty: str,
    note: Callable[[], str] = lambda: "",
) -> None:
    """A table with a button for more.

    `fetch`: a page of rows and the token of the next one, for a token; `draw` fills one `tr`. `note`: what to
    say below, after each page. Raises ServiceError for the first page; later ones are reported.
    """
    rows, following = await fetch("")
    if not rows and not following:
        with ui.element("div").classes("empty-state card"):
            ui.icon("search_off").props("aria-hidden=true")
            Words("p", empty)
        return
    token = following
    region = (
        ui.element("div").classes("table-wrap").props(f"tabindex=0 role=region aria-label={quoted(caption)}")
    )
    with region, ui.element("table").classes("plain listing"):
        with ui.element("thead"), ui.element("tr"):
            for column in columns:
                Words("th", column).props("scope=col")
        body = ui.element("tbody")
    said = Words("p", "").classes("quiet").props("role=status")

    def add(found: Sequence[Any]) -> None:
        with body:
            for row in found:
                with ui.element("tr"):
                    draw(row)
        said.text = note()
        button.set_visibility(bool(token))

    async def more() -> None:
        nonlocal token
        with visit.reporting():
            found, token = await fetch(token)
            add(found)

    button = (
        ui.button(visit.texts("listing.more"), on_click=more).props("outline no-caps").classes("more-button")
    )
    add(rows)


def chip(text: str, kind: str = "plain") -> None:
    """A word in a coloured box; `kind`: good, warn, bad, plain or empty."""
    Words("span", text).classes(f"chip {kind}")


def action_chip(visit: Visit, action: Any) -> None:
    """An action in words and in its colour."""
    chip(visit.texts(f"figures.action.{_Action.Name(action)}"), _KINDS.get(action, "plain"))


def span_chip(visit: Visit, begin: datetime, end: datetime) -> None:
    """From when to when."""
    style = "date" if end - begin > timedelta(days=2) else "time"
    with ui.element("span").classes("chip plain"):
        moment(visit, begin, style=style)
        Words("span", "–")
        moment(visit, end, style=style)


def cell(text: str, *, link: str = "", number: bool = False, wide: bool = False) -> None:
    """One `td` with a text; a `wide` one is cut with the whole as its title."""
    with ui.element("td").classes("number" if number else ""):
        box = Words("a" if link else "span", text)
        if link:
            box.props(f"href={quoted(link)}")
        if wide:
            box.classes("cut cell-text").props(f"title={quoted(text)}")


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values below each other."""
    with ui.element("dl").classes("facts"):
        for name, value in pairs:
            if value:
                Words("dt", name)
                Words("dd", value)
