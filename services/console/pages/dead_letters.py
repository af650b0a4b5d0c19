"""Messages that were put aside: looked at, put back, or discarded for good."""

from __future__ import annotations

from typing import Any, Final

from metachat.escalation.v1 import queue_pb2, tenant_pb2
from nicegui import ui

from services.common.errors import Kind, ServiceError
from services.console.charts import quoted
from services.console.dialogs import confirmed, dialog
from services.console.frame import ADMINS, Visit, Words, moment, tenant_page
from services.console.listing import cell
from services.console.numbers import number

_Channel = tenant_pb2.Channel
_SHOWN: Final = 200
_LONGEST: Final = 4096


@tenant_page("dead-letters", area="dead_letters", roles=ADMINS)
async def page(visit: Visit, search: str = "") -> None:
    """The oldest first, as many as one can look through; the search finds the others."""
    place = ui.element("div").classes("page-content")
    chosen: set[str] = set()
    wanted = search

    async def draw() -> None:
        try:
            queues = await visit.calls.queues.ListQueues(
                queue_pb2.ListQueuesRequest(tenant_id=visit.tenant_id)
            )
            found = await visit.calls.queues.ListDeadLetters(
                queue_pb2.ListDeadLettersRequest(tenant_id=visit.tenant_id, search=wanted, page_size=_SHOWN)
            )
        except ServiceError as error:
            if error.kind is not Kind.UNIMPLEMENTED:
                raise
            not_yet(visit, place)
            return
        chosen.clear()
        place.clear()
        with place:
            _queues(visit, queues)
            _letters(found)

    def _letters(found: queue_pb2.ListDeadLettersResponse) -> None:
        texts = visit.texts
        if not found.dead_letters and not wanted:
            with ui.element("div").classes("empty-state card"):
                ui.icon("task_alt").props("aria-hidden=true")
                Words("p", texts("dead_letters.empty"))
            return
        field = (
            ui.input(texts("dead_letters.search"), value=wanted)
            .props("outlined dense clearable")
            .classes("search")
        )
        field.on("keydown.enter", lambda: look(field.value or ""))
        Words("p", texts("dead_letters.count", count=found.total)).classes("quiet").props("role=status")
        with ui.element("div").classes("line"):
            ui.button(texts("dead_letters.replay_chosen"), on_click=lambda: replay(everything=False)).props(
                "unelevated no-caps"
            )
            ui.button(texts("dead_letters.replay_all"), on_click=lambda: replay(everything=True)).props(
                "outline no-caps"
            ).classes("more-button")
            ui.button(texts("dead_letters.discard_chosen"), on_click=discard).props(
                "outline no-caps color=negative"
            )
        keys = ("chosen", "dead_at", "channel", "message", "tries", "reason", "failure")
        with (
            ui.element("div")
            .classes("table-wrap")
            .props(f"tabindex=0 role=region aria-label={quoted(texts('dead_letters.title'))}"),
            ui.element("table").classes("plain listing"),
        ):
            with ui.element("thead"), ui.element("tr"):
                for key in keys:
                    Words("th", texts(f"dead_letters.{key}")).props("scope=col")
            with ui.element("tbody"):
                for letter in found.dead_letters:
                    with ui.element("tr"):
                        row(letter)

    def row(letter: queue_pb2.DeadLetter) -> None:
        texts = visit.texts
        name = letter.message_id or letter.id

        def choose(event: Any) -> None:
            (chosen.add if event.value else chosen.discard)(letter.id)

        with ui.element("td"):
            ui.checkbox(on_change=choose).props(
                f"dense aria-label={quoted(texts('dead_letters.choose', name=name))}"
            )
        with ui.element("td").classes("nowrap"):
            if letter.HasField("dead_at"):
                moment(visit, letter.dead_at)
        cell(lane(visit, letter.channel, letter.direction))
        with ui.element("td"):
            button = ui.button(texts("dead_letters.show"), on_click=lambda: show(letter.id)).props(
                "flat dense no-caps"
            )
            button.props(f"aria-label={quoted(texts('dead_letters.show_one', name=name))}").classes(
                "more-button"
            )
        cell(str(letter.tries))
        cell(letter.reason, wide=True)
        cell("" if letter.first_failure == letter.reason else letter.first_failure, wide=True)

    async def look(text: str) -> None:
        nonlocal wanted
        wanted = text.strip()
        with visit.reporting():
            await draw()

    async def show(letter_id: str) -> None:
        with visit.reporting():
            letter = await visit.calls.queues.GetDeadLetter(
                queue_pb2.GetDeadLetterRequest(tenant_id=visit.tenant_id, dead_letter_id=letter_id)
            )
            show_body(visit, letter)

    async def replay(*, everything: bool) -> None:
        if not everything and not chosen:
            ui.notify(visit.texts("dead_letters.choose_first"))
            return
        if everything and not await confirmed(
            visit,
            visit.texts("dead_letters.replay_question"),
            visit.texts("dead_letters.replay_detail"),
            visit.texts("dead_letters.replay_all"),
        ):
            return
        with visit.reporting():
            done = await visit.calls.queues.ReplayDeadLetters(
                queue_pb2.ReplayDeadLettersRequest(
                    tenant_id=visit.tenant_id,
                    dead_letter_ids=() if everything else sorted(chosen),
                    all=everything,
                )
            )
            ui.notify(visit.texts("dead_letters.replayed", count=done.replayed), type="positive")
            await draw()

    async def discard() -> None:
        if not chosen:
            ui.notify(visit.texts("dead_letters.choose_first"))
            return
        if not await confirmed(
            visit,
            visit.texts("dead_letters.discard_question", count=len(chosen)),
            visit.texts("dead_letters.discard_detail"),
            visit.texts("dead_letters.discard"),
        ):
            return
        with visit.reporting():
            done = await visit.calls.queues.DiscardDeadLetters(
                queue_pb2.DiscardDeadLettersRequest(tenant_id=visit.tenant_id, dead_letter_ids=sorted(chosen))
            )
            ui.notify(visit.texts("dead_letters.discarded", count=done.discarded), type="positive")
            await draw()

    await draw()


def _queues(visit: Visit, found: queue_pb2.ListQueuesResponse) -> None:
    """How full the queues are; nothing where there is none."""
    texts, locale = visit.texts, visit.locale
    if not found.queues:
        return
    with ui.element("section").classes("card stack"):
        Words("h2", texts("dead_letters.queues"))
        keys = ("queue", "ready", "unacked", "delayed", "dead")
        with (
            ui.element("div")
            .classes("table-wrap")
            .props(f"tabindex=0 role=region aria-label={quoted(texts('dead_letters.queues'))}"),
            ui.element("table").classes("plain compact"),
        ):
            with ui.element("thead"), ui.element("tr"):
                for place, key in enumerate(keys):
                    Words("th", texts(f"dead_letters.{key}")).props("scope=col").classes(
                        "number" if place else ""
                    )
            with ui.element("tbody"):
                for queue in found.queues:
                    with ui.element("tr"):
                        name = lane(visit, queue.channel, queue.direction)
                        Words(
                            "th", f"{name} {queue.partition}" if queue.HasField("partition") else name
                        ).props("scope=row")
                        cell(number(queue.ready, locale), number=True)
                        cell(number(queue.unacked, locale) if queue.HasField("unacked") else "—", number=True)
                        cell(number(queue.delayed, locale) if queue.HasField("delayed") else "—", number=True)
                        cell(number(queue.dead_letters, locale), number=True)


def show_body(visit: Visit, letter: queue_pb2.DeadLetter) -> None:
    """The message as it was published, in a dialog."""
    body = letter.body_json or letter.body[:_LONGEST].decode("utf-8", "backslashreplace")
    title = visit.texts("dead_letters.body")
    with dialog(title) as box:
        Words("p", letter.type).classes("quiet")
        Words("pre", body).classes("said code").props(f"tabindex=0 aria-label={quoted(title)}")
        ui.button(visit.texts("frame.close"), on_click=box.close).props("flat no-caps autofocus")
    box.on("hide", box.delete)
    box.open()


def channel_word(visit: Visit, kind: Any) -> str:
    """A channel by its name."""
    key = f"figures.channel.{_Channel.Kind.Name(kind).lower()}"
    return visit.texts(key) if key in visit.texts else _Channel.Kind.Name(kind).lower()


def lane(visit: Visit, channel: Any, direction: str) -> str:
    """A queue in words; of a message whose queue is not known there may be no direction."""
    key = f"dead_letters.direction.{direction}"
    return f"{channel_word(visit, channel)} · {visit.texts(key) if key in visit.texts else direction or '—'}"


def not_yet(visit: Visit, place: Any) -> None:
    """The server is older than this page."""
    place.clear()
    with place, ui.element("div").classes("empty-state card"):
        ui.icon("update").props("aria-hidden=true")
        Words("p", visit.texts("dead_letters.not_yet"))
