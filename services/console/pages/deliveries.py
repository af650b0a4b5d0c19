"""Outbound messages on their way, and what to do about those whose fate is not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from metachat.escalation.v1 import conversation_pb2
from nicegui import ui

from services.common.errors import Kind, ServiceError
from services.console.charts import quoted
from services.console.dialogs import dialog
from services.console.frame import ADMINS, Visit, Words, moment, tenant_page
from services.console.listing import cell, chip, listed
from services.console.pages.dead_letters import channel_word, not_yet
from services.console.periods import with_query
from services.console.settling import FINDINGS, settle

_Delivery = conversation_pb2.OutboundDelivery
_STATES: Final = tuple(name for name, number in _Delivery.State.items() if number)
_KINDS: Final = {
    _Delivery.FAILED: "bad",
    _Delivery.DELIVERY_UNKNOWN: "warn",
    _Delivery.SENT: "",
    _Delivery.DELIVERED: "good",
    _Delivery.READ: "good",
}
_PAGE: Final = 50


@tenant_page("deliveries", area="deliveries", roles=ADMINS)
async def page(visit: Visit, state: str = "", conversation: str = "") -> None:
    """The newest first, of one state or of all."""
    state = state if state in _STATES else ""
    texts = visit.texts
    with ui.element("nav").classes("segments").props(f"aria-label={quoted(texts('deliveries.state'))}"):
        for name in ("", *_STATES):
            current = "aria-current=true" if name == state else ""
            address = with_query(visit.path("deliveries"), state=name, conversation=conversation)
            Words("a", texts(f"deliveries.states.{name or 'all'}")).props(f"href={quoted(address)} {current}")
    request = conversation_pb2.ListDeliveriesRequest(
        tenant_id=visit.tenant_id,
        states=[_Delivery.State.Value(state)] if state else (),
        conversation_id=conversation.strip(),
        page_size=_PAGE,
    )

    async def fetch(token: str) -> tuple[Sequence[Any], str]:
        request.page_token = token
        found = await visit.calls.conversations.ListDeliveries(request)
        return found.deliveries, found.next_page_token

    place = ui.element("div").classes("page-content")
    try:
        with place:
            await listed(
                visit,
                [
                    texts(f"deliveries.{key}")
                    for key in ("when", "channel", "text", "state", "error", "leads")
                ],
                fetch,
                lambda delivery: _row(visit, delivery),
                caption=texts("deliveries.title"),
                empty=texts("deliveries.none" if state else "deliveries.empty"),
            )
    except ServiceError as error:
        if error.kind is not Kind.UNIMPLEMENTED:
            raise
        not_yet(visit, place)


def _row(visit: Visit, delivery: conversation_pb2.OutboundDelivery) -> None:
    texts = visit.texts
    with ui.element("td").classes("nowrap"):
        moment(visit, delivery.updated_at if delivery.HasField("updated_at") else delivery.created_at)
    cell(channel_word(visit, delivery.channel))
    cell(delivery.text, wide=True)
    with ui.element("td"):
        state = ui.element("span")
        with state:
            _state(visit, delivery.state)
    cell(" · ".join(part for part in (delivery.error_code, delivery.error_detail) if part), wide=True)
    with ui.element("td"), ui.element("span").classes("line links"):
        if delivery.conversation_id:
            Words("a", texts("deliveries.to_conversation")).props(
                f"href={visit.path(f'conversations/{delivery.conversation_id}')}"
            )
        if delivery.state == _Delivery.DELIVERY_UNKNOWN:

            async def ask() -> None:
                await _settle(visit, delivery, state, button)

            button = ui.button(texts("deliveries.settle"), on_click=ask).props("outline dense no-caps")
            button.classes("more-button")


def _state(visit: Visit, state: Any) -> None:
    chip(visit.texts(f"deliveries.states.{_Delivery.State.Name(state)}"), _KINDS.get(state, "plain"))


async def _settle(
    visit: Visit, delivery: conversation_pb2.OutboundDelivery, state: Any, button: ui.button
) -> None:
    """Asks what was found out and records it; the button is gone then."""
    texts = visit.texts
    with dialog(texts("deliveries.settle_question")) as box:
        Words("p", texts("deliveries.settle_detail"))
        Words("p", delivery.text).classes("said")
        with ui.element("div").classes("stack"):
            for finding in FINDINGS:
                ui.button(
                    texts(f"deliveries.finding.{finding}"),
                    on_click=lambda finding=finding: box.submit(finding),
                ).props("outline no-caps")
            ui.button(texts("frame.cancel"), on_click=box.close).props("flat no-caps")
    name = await box
    box.delete()
    if not name:
        return
    with visit.reporting():
        changed = await settle(visit, delivery.outbound_id, name)
        state.clear()
        with state:
            _state(visit, changed.state)
        visit.notify(texts("deliveries.settled"))
        button.delete()
