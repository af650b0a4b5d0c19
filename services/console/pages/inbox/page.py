"""The page: the list, the conversation beside it, the agent's presence, the keys."""

from __future__ import annotations

import json

from metachat.escalation.v1.user_pb2 import ListColleaguesRequest, SetPresenceRequest
from nicegui import ui

from services.console.dialogs import dialog
from services.console.frame import AGENTS, Visit, Words, tenant_page
from services.console.handoff_feed import Change, feed_of
from services.console.pages.inbox.handling import Handling
from services.console.pages.inbox.rows import WaitingRows


@tenant_page("inbox", area="inbox", roles=AGENTS)
async def page(visit: Visit, handoff: str = "") -> None:
    """`handoff`: the one to show at once."""
    feed = feed_of(visit.tenant_id)
    client = ui.context.client
    views: list[tuple[WaitingRows, Handling]] = []

    def changed(change: Change) -> None:
        for rows, handling in views:
            rows.apply(change)
            handling.changed(change)

    end = await feed.follow(visit.calls, changed)
    client.on_delete(end)
    await _presence(visit)
    with ui.element("div").classes("inbox") as box:
        with ui.element("div").classes("inbox-list"):
            rows = WaitingRows(visit, feed, opened=handoff)
        with ui.element("div").classes("inbox-handling"):
            handling = Handling(visit, feed)
    client.on_delete(handling.leave)
    views.append((rows, handling))

    async def open_(handoff_id: str) -> None:
        box.classes("has-open") if handoff_id else box.classes(remove="has-open")
        target = visit.path("inbox") + (f"?handoff={handoff_id}" if handoff_id else "")
        client.run_javascript(f"history.replaceState(history.state, '', {json.dumps(target)})")
        rows.show(handoff_id)
        await handling.open(handoff_id)

    async def act(what: str) -> None:
        if what == "claim":
            await handling.claim()
        else:
            handling.focus_reply()

    handling.on_back = lambda: open_("")
    rows.heard("open", open_)
    rows.heard("act", act)
    rows.heard("help", lambda _: _help(visit))
    if handoff:
        box.classes("has-open")
    await handling.open(handoff)


async def _presence(visit: Visit) -> None:
    """Whether the agent is there for handoffs; only people with an account of their own have a presence."""
    if not visit.actor.user_id:
        return
    available = False
    with visit.reporting():
        found = await visit.calls.users.ListColleagues(ListColleaguesRequest(tenant_id=visit.tenant_id))
        available = any(each.available for each in found.colleagues if each.id == visit.actor.user_id)

    async def change(there: bool) -> None:
        with visit.reporting():
            await visit.calls.users.SetPresence(
                SetPresenceRequest(tenant_id=visit.tenant_id, user_id=visit.actor.user_id, available=there)
            )

    with ui.element("div").classes("presence"):
        ui.switch(
            visit.texts("inbox.available"), value=available, on_change=lambda event: change(bool(event.value))
        ).props("dense")
        Words("span", visit.texts("inbox.available_help")).classes("quiet")


def _help(visit: Visit) -> None:
    with dialog(visit.texts("inbox.keys.title")) as box:
        with ui.element("dl").classes("facts keys"):
            for keys, name in (
                (("j", "k"), "move"),
                (("Enter",), "open"),
                (("c",), "claim"),
                (("r",), "reply"),
                (("Ctrl", "Enter"), "send"),
                (("/",), "search"),
                (("Esc",), "leave"),
                (("?",), "help"),
            ):
                with ui.element("dt"):
                    for key in keys:
                        Words("kbd", key)
                Words("dd", visit.texts(f"inbox.keys.{name}"))
        ui.button(visit.texts("frame.close"), on_click=box.close).props("flat no-caps")
    box.open()
