"""Giving a conversation to a colleague, or back to the list."""

from __future__ import annotations

from collections import Counter
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
        called = Counter(each.display_name for each in found.colleagues)
        for each in sorted(found.colleagues, key=lambda one: (not one.available, one.display_name)):
            if each.id != visit.actor.user_id:
                there = texts("inbox.there" if each.available else "inbox.away")
                # Colleagues see no more of each other: the end of an id tells two of one name apart.
                which = f" ({each.id[-4:]})" if called[each.display_name] > 1 else ""
                names[each.id] = f"{each.display_name}{which} · {there}"
    with dialog(texts("inbox.transfer_title")) as box:
        chosen = ui.select(names, value="", label=texts("inbox.to_whom")).props("outlined options-dense")

        async def give() -> None:
            await act("TransferHandoff", TransferHandoffRequest, to_user_id=str(chosen.value or ""))
            box.close()

        buttons(visit, box, texts("inbox.transfer"), give)
    box.on("hide", box.delete)
    box.open()
