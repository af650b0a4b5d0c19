"""Any conversation of the tenant: searched, read, with what was decided on each of its messages."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from metachat.escalation.v1.conversation_pb2 import (
    Conversation,
    DeliveryChange,
    GetConversationRequest,
    ListConversationsRequest,
    ListMessagesRequest,
    Message,
    PersonTyping,
)
from metachat.escalation.v1.handoff_pb2 import ListHandoffsRequest
from nicegui import ui

from services.common.errors import ServiceError
from services.console.charts import quoted
from services.console.conversation_feed import ConversationFeed
from services.console.frame import AGENTS, Visit, Words, moment, tenant_page
from services.console.labels import labelled
from services.console.listing import cell, facts
from services.console.pages.inbox.rows import channel_of, customer_of
from services.console.transcript import Transcript
from services.console.verdicts import last_verdict, verdict_chip

_PAGE: Final = 50
_MOST_MESSAGES: Final = 2000
# What people said is looked up for so many of the newest decisions.
_MOST_VERDICTS: Final = 50
_STATUSES: Final = ("ALL", "ACTIVE", "ASSIGNED_HUMAN", "CLOSED")
_COLOURS: Final = {"ACTIVE": "good", "ASSIGNED_HUMAN": "warn", "CLOSED": "plain"}
_TYPING_SECONDS: Final = 0.3


@tenant_page("conversations", area="conversations", roles=AGENTS)
async def page(visit: Visit, query: str = "", status: str = "ALL") -> None:
    """The list, the last changed first."""
    await _Search(visit, query, status if status in _STATUSES else "ALL").draw()


class _Search:
    """What is looked for, and what was found."""

    def __init__(self, visit: Visit, query: str, status: str) -> None:
        self._visit = visit
        self._query = query[:200]
        self._status = status
        self._token = ""
        self._number = 0

    async def draw(self) -> None:
        texts = self._visit.texts
        with ui.element("div").classes("line"):
            ui.input(texts("conversations.search"), value=self._query, on_change=self._typed).props(
                "outlined dense clearable type=search maxlength=200"
            ).classes("search grow")
            ui.select(
                {name: texts(f"conversations.status.{name}") for name in _STATUSES},
                value=self._status,
                label=texts("conversations.status_label"),
                on_change=self._chosen,
            ).props("outlined dense options-dense").classes("narrow-select")
        self._place = ui.element("div").classes("stack")
        await self._fresh()

    async def _typed(self, event: Any) -> None:
        self._query = str(event.value or "")
        self._number += 1
        mine = self._number
        await asyncio.sleep(_TYPING_SECONDS)
        if mine == self._number:
            with self._visit.reporting():
                await self._fresh()

    async def _chosen(self, event: Any) -> None:
        self._status = str(event.value)
        with self._visit.reporting():
            await self._fresh()

    async def _fetch(self) -> list[Conversation]:
        answer = await self._visit.calls.conversations.ListConversations(
            ListConversationsRequest(
                tenant_id=self._visit.tenant_id,
                page_size=_PAGE,
                page_token=self._token,
                query=self._query,
                status=Conversation.STATUS_UNSPECIFIED
                if self._status == "ALL"
                else Conversation.Status.Value(self._status),
            )
        )
        self._token = answer.next_page_token
        return list(answer.conversations)

    async def _fresh(self) -> None:
        self._number += 1
        mine, self._token = self._number, ""
        found = await self._fetch()
        if mine != self._number:
            return
        texts = self._visit.texts
        self._place.clear()
        with self._place:
            if not found:
                with ui.element("div").classes("empty-state card").props("role=status"):
                    ui.icon("forum").props("aria-hidden=true")
                    searched = self._query or self._status != "ALL"
                    Words("p", texts("conversations.none_found" if searched else "conversations.none"))
                return
            wrap = ui.element("div").classes("table-wrap").props("tabindex=0 role=region")
            with labelled(wrap, texts("conversations.title")), ui.element("table").classes("plain listing"):
                with ui.element("thead"), ui.element("tr"):
                    for name in ("who", "status_label", "channel", "held_by", "changed"):
                        Words("th", texts(f"conversations.{name}")).props("scope=col")
                self._body = ui.element("tbody")
            self._more = ui.button(texts("conversations.more_rows"), on_click=self._next).props(
                "outline no-caps"
            )
        self._add(found)

    async def _next(self) -> None:
        with self._visit.reporting():
            self._add(await self._fetch())

    def _add(self, found: list[Conversation]) -> None:
        visit = self._visit
        with self._body:
            for each in found:
                status = Conversation.Status.Name(each.status)
                with ui.element("tr"):
                    cell(customer_of(visit, each), link=visit.path(f"conversations/{each.id}"), wide=True)
                    with ui.element("td"):
                        Words("span", visit.texts(f"conversations.status.{status}")).classes(
                            f"chip {_COLOURS.get(status, 'plain')}"
                        )
                    cell(channel_of(visit, each.channel))
                    cell(each.assigned_to, wide=True)
                    with ui.element("td"):
                        moment(visit, each.updated_at)
        self._more.set_visibility(bool(self._token))


@tenant_page("conversations/{conversation_id}", area="conversations", roles=AGENTS, title="conversations.one")
async def one(visit: Visit, conversation_id: str) -> None:
    """One conversation with its messages and decisions."""
    texts, calls = visit.texts, visit.calls
    conversation = await calls.conversations.GetConversation(
        GetConversationRequest(tenant_id=visit.tenant_id, conversation_id=conversation_id)
    )
    messages, cut = await _messages(visit, conversation.id)
    who = customer_of(visit, conversation)
    with ui.element("section").classes("card stack"):
        Words("h2", who).classes("cut").props(f"title={quoted(who)}")
        standing = ui.element("div")
        _standing(visit, standing, conversation)
        with ui.element("p").classes("quiet line"):
            Words("span", texts("conversations.began"))
            moment(visit, conversation.created_at)
            Words("span", texts("conversations.changed"))
            moment(visit, conversation.updated_at)
        handoff = await _open_handoff(visit, conversation)
        if handoff:
            Words("a", texts("conversations.to_inbox")).props(
                f"href={quoted(visit.path('inbox') + '?handoff=' + handoff)}"
            )
    with ui.element("section").classes("card stack"):
        Words("h2", texts("conversations.talk"))
        if cut:
            Words("p", texts("conversations.earlier_cut", count=_MOST_MESSAGES)).classes("note")
        transcript = Transcript(visit, messages, customer=who)
    _decisions(visit, messages)

    def happened(what: Message | Conversation | PersonTyping | DeliveryChange) -> None:
        match what:
            case Message():
                transcript.put([what])
            case DeliveryChange():
                transcript.moved(what)
            case PersonTyping():
                transcript.typing(what)
            case Conversation():
                transcript.held(what)
                _standing(visit, standing, what)

    if not cut:
        feed = ConversationFeed(
            calls, visit.tenant_id, conversation.id, after=transcript.last, listener=happened
        )
        ui.context.client.on_delete(feed.end)


def _standing(visit: Visit, box: ui.element, conversation: Conversation) -> None:
    """Who answers now."""
    texts = visit.texts
    box.clear()
    with box:
        facts(
            [
                (
                    texts("conversations.status_label"),
                    texts(f"conversations.status.{Conversation.Status.Name(conversation.status)}"),
                ),
                (texts("conversations.channel"), channel_of(visit, conversation.channel)),
                (texts("conversations.held_by"), conversation.assigned_to),
            ]
        )


async def _messages(visit: Visit, conversation_id: str) -> tuple[list[Message], bool]:
    messages: list[Message] = []
    while True:
        answer = await visit.calls.conversations.ListMessages(
            ListMessagesRequest(
                tenant_id=visit.tenant_id,
                conversation_id=conversation_id,
                after=messages[-1].id if messages else "",
                page_size=500,
            )
        )
        messages += answer.messages
        if not answer.more or len(messages) >= _MOST_MESSAGES:
            return messages, bool(answer.more)


async def _open_handoff(visit: Visit, conversation: Conversation) -> str:
    if conversation.status != Conversation.ASSIGNED_HUMAN:
        return ""
    try:
        found = await visit.calls.handoffs.ListHandoffs(
            ListHandoffsRequest(tenant_id=visit.tenant_id, page_size=500)
        )
    except ServiceError:
        return ""
    return next((each.id for each in found.handoffs if each.conversation_id == conversation.id), "")


def _decisions(visit: Visit, messages: list[Message]) -> None:
    """A link to the whole story of each turn, by what the customer wrote."""
    texts = visit.texts
    asked = {each.turn_id: each for each in messages if each.turn_id and each.source == Message.CUSTOMER}
    with ui.element("section").classes("card stack"):
        Words("h2", texts("conversations.decisions"))
        if not asked:
            Words("p", texts("conversations.no_decisions")).classes("quiet")
            return
        Words("p", texts("conversations.decisions_help")).classes("quiet")
        places: dict[str, ui.element] = {}
        with ui.element("ul").classes("card-list"):
            for turn_id, message in asked.items():
                text = " ".join(message.text.split())
                with (
                    ui.element("li"),
                    ui.element("a")
                    .props(f"href={quoted(visit.path('turns/' + turn_id))}")
                    .classes("card-link"),
                ):
                    Words("span", text or texts("conversations.decision")).classes("cut grow").props(
                        f"title={quoted(text[:500])}"
                    )
                    places[turn_id] = ui.element("span")
                    moment(visit, message.created_at, style="time").classes("quiet")
    newest = dict(list(places.items())[-_MOST_VERDICTS:])
    task = asyncio.create_task(_fill_in_verdicts(visit, newest), name="conversation-verdicts")
    ui.context.client.on_delete(task.cancel)


async def _fill_in_verdicts(visit: Visit, places: dict[str, ui.element]) -> None:
    """What people said of each, once the page is there; the whole of it stands on the decision's own page."""
    with contextlib.suppress(ServiceError):
        for turn_id, place in reversed(places.items()):
            verdict = await last_verdict(visit, turn_id)
            if verdict.id and not place.is_deleted:
                with place:
                    verdict_chip(visit, verdict)
