"""Events sent to the tenant's own addresses: added, changed, tried, followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from metachat.escalation.v1 import webhook_pb2
from nicegui import ui

from services.console.charts import quoted
from services.console.dialogs import buttons, confirmed, copy_button, dialog, faults_at
from services.console.frame import ADMINS, Visit, Words, moment, tenant_page
from services.console.listing import cell, chip, listed
from services.console.numbers import number
from services.console.pages.events import TYPES, event_word

_GOOD: Final = range(200, 300)
_LOG: Final = 20


@tenant_page("webhooks", area="webhooks", roles=ADMINS)
async def page(visit: Visit) -> None:
    """A card for each."""
    Words("p", visit.texts("webhooks.help")).classes("quiet")
    with ui.element("div"):
        ui.button(visit.texts("webhooks.add"), icon="add", on_click=lambda: _edit(visit, None, draw)).props(
            "unelevated no-caps"
        )
    place = ui.element("div").classes("page-content")

    async def draw() -> None:
        found = await visit.calls.webhooks.ListWebhooks(
            webhook_pb2.ListWebhooksRequest(tenant_id=visit.tenant_id)
        )
        place.clear()
        with place:
            for webhook in found.webhooks:
                _card(visit, webhook, draw)
            if not found.webhooks:
                with ui.element("div").classes("empty-state card"):
                    ui.icon("webhook").props("aria-hidden=true")
                    Words("p", visit.texts("webhooks.empty"))

    await draw()


def _card(visit: Visit, webhook: webhook_pb2.Webhook, changed: Any) -> None:
    texts = visit.texts
    named = {"tenant_id": visit.tenant_id, "webhook_id": webhook.id}
    with ui.element("section").classes("card stack").props(f"aria-label={quoted(webhook.id)}"):
        with ui.element("div").classes("line"):
            Words("h2", webhook.id).classes("cut")
            chip(
                texts("webhooks.on" if webhook.enabled else "webhooks.off"),
                "good" if webhook.enabled else "plain",
            )
        Words("p", webhook.url).classes("cut").props(f"title={quoted(webhook.url)}")
        if webhook.disabled_reason:
            Words("p", texts("webhooks.disabled", reason=webhook.disabled_reason)).classes("fault")
        types = ", ".join(event_word(visit, name) for name in webhook.event_types) or texts(
            "webhooks.all_types"
        )
        Words("p", types).classes("quiet")
        line = ui.element("div").classes("line")
        result = ui.element("div").props("role=status")
        log = ui.element("div").classes("stack")
        with line:

            async def test() -> None:
                with visit.reporting():
                    # A test waits for the other side.
                    sent = await visit.calls.webhooks.TestWebhook(
                        webhook_pb2.TestWebhookRequest(**named), timeout=30.0
                    )
                    result.clear()
                    with result:
                        _result(visit, sent)

            async def rotate() -> None:
                if await confirmed(
                    visit,
                    texts("webhooks.rotate_question"),
                    texts("webhooks.rotate_detail"),
                    texts("webhooks.rotate"),
                ):
                    with visit.reporting():
                        made = await visit.calls.webhooks.PutWebhook(
                            webhook_pb2.PutWebhookRequest(
                                **named,
                                url=webhook.url,
                                event_types=webhook.event_types,
                                enabled=webhook.enabled,
                                rotate_secret=True,
                            )
                        )
                        _secret(visit, made)

            async def remove() -> None:
                if await confirmed(
                    visit,
                    texts("webhooks.delete_question", name=webhook.id),
                    texts("webhooks.delete_detail"),
                    texts("webhooks.delete"),
                ):
                    with visit.reporting():
                        await visit.calls.webhooks.DeleteWebhook(webhook_pb2.DeleteWebhookRequest(**named))
                        await changed()

            for key, action in (
                ("test", test),
                ("edit", lambda: _edit(visit, webhook, changed)),
                ("rotate", rotate),
                ("log", lambda: _log(visit, webhook.id, log)),
                ("delete", remove),
            ):
                ui.button(texts(f"webhooks.{key}"), on_click=action).props(
                    f"outline no-caps padding='4px 12px'{' color=negative' if key == 'delete' else ''}"
                ).classes("more-button")


def _result(visit: Visit, sent: webhook_pb2.WebhookDelivery) -> None:
    good = sent.status in _GOOD
    with ui.element("div").classes("line"):
        chip(visit.texts("webhooks.arrived" if good else "webhooks.failed"), "good" if good else "bad")
        parts = [f"HTTP {sent.status}" if sent.status else "", f"{sent.milliseconds:.0f} ms", sent.error]
        Words("span", " · ".join(part for part in parts if part))


async def _log(visit: Visit, webhook_id: str, place: Any) -> None:
    """The delivery log, in and out."""
    if place.default_slot.children:
        place.clear()
        return
    texts = visit.texts

    async def fetch(token: str) -> tuple[Sequence[Any], str]:
        found = await visit.calls.webhooks.ListWebhookDeliveries(
            webhook_pb2.ListWebhookDeliveriesRequest(
                tenant_id=visit.tenant_id, webhook_id=webhook_id, page_size=_LOG, page_token=token
            )
        )
        return found.deliveries, found.next_page_token

    with visit.reporting(), place:
        await listed(
            visit,
            [texts(f"webhooks.{key}") for key in ("when", "event", "attempt", "answer", "time", "retry")],
            fetch,
            lambda sent: _log_row(visit, sent),
            caption=texts("webhooks.log"),
            empty=texts("webhooks.log_empty"),
        )


def _log_row(visit: Visit, sent: webhook_pb2.WebhookDelivery) -> None:
    with ui.element("td").classes("nowrap"):
        moment(visit, sent.created_at)
    cell(event_word(visit, sent.event_type))
    cell(str(sent.attempt))
    with ui.element("td"):
        good = sent.status in _GOOD
        words = f"HTTP {sent.status}" if sent.status else sent.error or "—"
        chip(words[:60], "good" if good else "bad")
    cell(f"{number(sent.milliseconds, visit.locale)} ms")
    with ui.element("td").classes("nowrap"):
        if sent.HasField("retry_at"):
            moment(visit, sent.retry_at)


async def _edit(visit: Visit, webhook: webhook_pb2.Webhook | None, changed: Any) -> None:
    """A new one, or another address and other types for one."""
    texts = visit.texts
    with dialog(texts("webhooks.add" if webhook is None else "webhooks.edit"), keep_open=True) as box:
        name = ui.input(texts("webhooks.name"), value="" if webhook is None else webhook.id)
        name.props("outlined dense").set_enabled(webhook is None)
        url = ui.input(texts("webhooks.url"), value="" if webhook is None else webhook.url)
        url.props("outlined dense type=url placeholder=https://")
        types = ui.select(
            {one: event_word(visit, one) for one in TYPES},
            value=[] if webhook is None else [one for one in webhook.event_types if one in TYPES],
            multiple=True,
            label=texts("webhooks.types"),
        ).props("outlined dense use-chips")
        enabled = ui.switch(texts("webhooks.enabled"), value=webhook is None or webhook.enabled)

        async def save() -> None:
            with faults_at(visit, {"webhook_id": name, "url": url}):
                made = await visit.calls.webhooks.PutWebhook(
                    webhook_pb2.PutWebhookRequest(
                        tenant_id=visit.tenant_id,
                        webhook_id=(name.value or "").strip(),
                        url=(url.value or "").strip(),
                        event_types=types.value,
                        enabled=enabled.value,
                    )
                )
                box.close()
                await changed()
                if made.secret:
                    _secret(visit, made)

        buttons(visit, box, texts("webhooks.save"), save)
    box.on("hide", box.delete)
    box.open()


def _secret(visit: Visit, webhook: webhook_pb2.Webhook) -> None:
    """The signing secret, this once."""
    texts = visit.texts
    with dialog(texts("webhooks.secret"), keep_open=True) as box:
        Words("p", texts("webhooks.secret_once"))
        Words("pre", webhook.secret).classes("said code").props(
            f"tabindex=0 aria-label={quoted(texts('webhooks.secret'))}"
        )
        with ui.element("div").classes("dialog-buttons"):
            copy_button(visit, webhook.secret)
            ui.button(texts("frame.close"), on_click=box.close).props("unelevated no-caps")
    box.on("hide", box.delete)
    box.open()
