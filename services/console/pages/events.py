"""What happened, searched and filtered; each event leads to its decision and its conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf import json_format
from metachat.escalation.v1 import event_pb2, insight_pb2, policy_pb2
from nicegui import ui

from services.console.figure_charts import reason_word
from services.console.figures import ACTIONS, UNDECIDED
from services.console.frame import ADMINS, Visit, Words, moment, operator_page, tenant_page
from services.console.listing import action_chip, cell, listed
from services.console.numbers import number
from services.console.periods import instant, period_of, with_query
from services.console.tenant_names import TenantNames

TYPES: Final = (
    "human_handoff.requested",
    "human_handoff.claimed",
    "human_handoff.transferred",
    "human_handoff.returned",
    "human_handoff.closed",
    "human_handoff.timed_out",
    "human_review.suggested",
    "decision.shadowed",
    "message.received_while_held",
    "human_reply.recorded",
    "verdict.recorded",
    "calibration.fitted",
    "ticket.requested",
    "delivery.failed",
    "delivery.unknown",
    "delivery.settled",
    "turn.failed",
    "channel.attention",
    "channel.recovered",
    "webhook.disabled",
    "tenant.changed",
)
REASONS: Final = (
    "customer_request",
    "keyword",
    "frustration",
    "no_reply",
    "unsupported_message",
    "scoring_unavailable",
    "low_confidence",
    "high_stakes",
    "medium_confidence",
    "processing_failed",
)
_Action = policy_pb2.Decision.Action
_FILTERS: Final = ("type", "reason", "action", "text", "conversation", "turn", "since", "until")
_PAGE: Final = 50


@tenant_page("events", area="events", roles=ADMINS)
async def page(
    visit: Visit,
    type: str = "",
    reason: str = "",
    action: str = "",
    text: str = "",
    conversation: str = "",
    turn: str = "",
    since: str = "",
    until: str = "",
) -> None:
    """Of one tenant. Filters stand in the address, so that a search can be kept and sent."""
    await _events(visit, _given(type, reason, action, text, conversation, turn, since, until))


@operator_page("events", area="events", title="events.all_title")
async def all_events(
    visit: Visit,
    type: str = "",
    reason: str = "",
    action: str = "",
    text: str = "",
    conversation: str = "",
    turn: str = "",
    since: str = "",
    until: str = "",
) -> None:
    """Of all tenants."""
    await _events(visit, _given(type, reason, action, text, conversation, turn, since, until))


def _given(*values: str) -> dict[str, str]:
    given = dict(zip(_FILTERS, values, strict=True))
    return {**given, "action": given["action"] if given["action"] in ACTIONS else ""}


async def _events(visit: Visit, given: dict[str, str]) -> None:
    _filters(visit, given)
    begin, end = instant(given["since"]), instant(given["until"])
    request = insight_pb2.ListEventsRequest(
        tenant_id=visit.tenant_id,
        all_tenants=not visit.tenant_id,
        type=given["type"].strip(),
        reason=given["reason"].strip(),
        action=_Action.Value(given["action"] or UNDECIDED),
        text=given["text"],
        conversation_id=given["conversation"].strip(),
        turn_id=given["turn"].strip(),
        page_size=_PAGE,
    )
    if begin or end:
        request.period.CopyFrom(period_of(begin, end))
    said = ""
    names = TenantNames(visit)

    async def fetch(token: str) -> tuple[Sequence[Any], str]:
        nonlocal said
        request.page_token = token
        found = await visit.calls.insights.ListEvents(request)
        said = ""
        if found.HasField("searched_to"):
            said = visit.texts(
                "listing.searched", time=f"{found.searched_to.ToDatetime():%Y-%m-%d %H:%M} UTC"
            )
        if not visit.tenant_id:
            await names.know(event.tenant_id for event in found.events)
        return found.events, found.next_page_token

    def row(event: event_pb2.Event) -> None:
        name = "" if visit.tenant_id else names.of(event.tenant_id)
        _row(visit, event, name, with_query(f"/t/{event.tenant_id}/events", **given))

    keys = ["when", "event", "reason", "action", "score", "leads", "data"]
    if not visit.tenant_id:
        keys.insert(1, "tenant")
    await listed(
        visit,
        [visit.texts(f"events.{key}") for key in keys],
        fetch,
        row,
        caption=visit.texts("events.title" if visit.tenant_id else "events.all_title"),
        empty=visit.texts("events.none_found" if any(given.values()) else "events.empty"),
        note=lambda: said,
    )


def _filters(visit: Visit, given: dict[str, str]) -> None:
    texts = visit.texts
    fields: dict[str, Any] = {}

    def search() -> None:
        ui.navigate.to(
            with_query(
                visit.path("events"), **{name: (field.value or "").strip() for name, field in fields.items()}
            )
        )

    def choice(name: str, words: dict[str, str]) -> None:
        if given[name] and given[name] not in words:
            words[given[name]] = given[name]
        fields[name] = ui.select(
            {"": texts("events.any"), **words}, value=given[name], label=texts(f"events.{name}")
        )

    with ui.element("section").classes("card filter-grid").props("role=search"):
        fields["text"] = ui.input(texts("events.text"), value=given["text"]).on("keydown.enter", search)
        choice("type", {name: event_word(visit, name) for name in TYPES})
        choice("reason", {name: reason_word(visit, name) for name in REASONS})
        choice("action", {name: texts(f"figures.action.{name}") for name in ACTIONS if name != UNDECIDED})
        fields["conversation"] = ui.input(texts("events.conversation"), value=given["conversation"])
        fields["turn"] = ui.input(texts("events.turn"), value=given["turn"])
        for name in ("since", "until"):
            value = instant(given[name])
            fields[name] = ui.input(
                texts(f"events.{name}"), value=f"{value:%Y-%m-%dT%H:%M}" if value else ""
            ).props("type=datetime-local stack-label")
        for field in fields.values():
            field.props("outlined dense")
        with ui.element("div").classes("line"):
            ui.button(texts("events.search"), on_click=search).props("unelevated no-caps")
            if any(given.values()):
                Words("a", texts("events.clear")).props(f"href={visit.path('events')}")


def _row(visit: Visit, event: event_pb2.Event, tenant_name: str, of_tenant: str) -> None:
    """`tenant_name` on the page of all tenants alone, where it leads to `of_tenant`."""
    home = f"/t/{event.tenant_id}"
    data: dict[str, Any] = json_format.MessageToDict(event.data)
    with ui.element("td").classes("nowrap"):
        moment(visit, event.created_at)
    if tenant_name:
        cell(tenant_name, link=of_tenant, wide=True)
    cell(event_word(visit, event.type))
    reason = data.get("reason")
    cell(reason_word(visit, reason) if isinstance(reason, str) else "", wide=True)
    action = data.get("action")
    with ui.element("td"):
        if isinstance(action, str) and action in ACTIONS:
            action_chip(visit, _Action.Value(action))
    score = data.get("confidenceScore")
    cell(number(score, visit.locale, digits=2) if isinstance(score, float) else "")
    with ui.element("td"), ui.element("span").classes("line links"):
        if event.turn_id:
            Words("a", visit.texts("events.to_decision")).props(f"href={home}/turns/{event.turn_id}")
        if event.conversation_id:
            Words("a", visit.texts("events.to_conversation")).props(
                f"href={home}/conversations/{event.conversation_id}"
            )
    with ui.element("td"), ui.element("details").classes("data"):
        Words("summary", visit.texts("events.show_data"))
        Words("pre", json.dumps(data, indent=2, ensure_ascii=False)).classes("said code").props("tabindex=0")


def event_word(visit: Visit, name: str) -> str:
    """A type in words; as it stands where there are none."""
    key = f"events.types.{name.replace('.', '_')}"
    return visit.texts(key) if key in visit.texts else name
