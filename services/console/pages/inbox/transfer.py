"""Giving a conversation to a colleague, or back to the list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from metachat.escalation.v1.handoff_pb2 import TransferHandoffRequest
from metachat.escalation.v1.user_pb2 import ListColleaguesRequest
from nicegui import ui

from services.console.dialogs import buttons, dialog
from services.console.frame import Visit


async def transfer(visit: Visit, act: Callable[..., Awaitable[None]]) -> None:
    """Ask to whom, then `act("TransferHandoff", ...)`."""
    texts = visit.texts
    names: dict[str, str] = {"": texts("inbox.to_list")}
    with visit.reporting():
        found = await visit.calls.users.ListColleagues(ListColleaguesRequest(tenant_id=visit.tenant_id))
        for each in sorted(found.colleagues, key=lambda one: (not one.available, one.display_name)):
            if each.display_name != visit.actor.name:
                there = texts("inbox.there" if each.available else "inbox.away")
                names[each.display_name] = f"{each.display_name} · {there}"
    with dialog(texts("inbox.transfer_title")) as box:
        chosen = ui.select(names, value="", label=texts("inbox.to_whom")).props("outlined options-dense")

        async def give() -> None:
            await act("TransferHandoff", TransferHandoffRequest, to_agent=str(chosen.value or ""))
            box.close()

        buttons(visit, box, texts("inbox.transfer"), give)
    box.on("hide", box.delete)
    box.open()
