"""The page: sections on one side, the test box beside them, the save bar below."""

from __future__ import annotations

from typing import Final

from metachat.escalation.v1 import tenant_pb2
from metachat.escalation.v1.escalation_pb2 import DescribeSettingsRequest
from nicegui import ui

from services.console.frame import ADMINS, Visit, Words, tenant_page
from services.console.pages.settings import handover, hours, installation, responder, thresholds
from services.console.pages.settings.channels import Channels
from services.console.pages.settings.controls import quoted, section
from services.console.pages.settings.editor import Editor
from services.console.pages.settings.saving import SaveBar, restored_notice
from services.console.pages.settings.test_box import TestBox
from services.console.pages.settings.what_if import Recommendation, WhatIf
from services.console.pages.settings.widget import WidgetSection

_SECTIONS: Final = (
    "handoff",
    "confidence",
    "disclaimers",
    "judging",
    "messages",
    "hours",
    "rollout",
    "channels",
    "widget",
    "responder",
    "assistant",
    "privacy",
)


@tenant_page("settings", area="settings", roles=ADMINS)
async def page(visit: Visit) -> None:
    """Reads the settings, draws them, and brings back what was not saved."""
    tenant = await visit.calls.tenants.GetTenant(tenant_pb2.GetTenantRequest(tenant_id=visit.tenant_id))
    description = await visit.calls.escalation.DescribeSettings(
        DescribeSettingsRequest(tenant_id=visit.tenant_id)
    )
    ui.add_head_html(
        '<link rel="stylesheet" href="/browser/settings.css">'
        '<script defer src="/browser/settings.js"></script>'
    )
    place = ui.element("div").classes("keeper")
    editor = Editor(visit, tenant, description, place)
    _contents(visit)
    restored = Words("p", "").classes("note").props("role=status")
    restored.set_visibility(False)
    with ui.element("div").classes("settings-page"):
        with ui.element("div").classes("settings-sections"):
            what_if, channels, window = _sections(editor)
        TestBox(editor)
    SaveBar(editor)
    await ui.context.client.connected(timeout=20.0)
    conflicts = await editor.restore()
    if conflicts is not None:
        with place:
            await restored_notice(editor, restored, conflicts)
    what_if.ask()
    await channels.load()
    await window.load()


def _contents(visit: Visit) -> None:
    with ui.element("nav").classes("contents").props(quoted("aria-label", visit.texts("settings.contents"))):
        for name in _SECTIONS:
            with ui.element("a").props(f"href=#{name}"):
                Words("span", visit.texts(f"settings.section.{name}"))
        with ui.element("a").props("href=#test-box"):
            Words("span", visit.texts("settings.test.title"))


def _sections(editor: Editor) -> tuple[WhatIf, Channels, WidgetSection]:
    installation.languages()
    with section(editor, "handoff"):
        handover.draw(editor)
    with section(editor, "confidence"):
        thresholds.draw(editor)
        what_if = WhatIf(editor)
        Recommendation(editor)
    with section(editor, "disclaimers"):
        thresholds.draw_disclaimers(editor)
    with section(editor, "judging"):
        thresholds.draw_rest(editor)
    with section(editor, "messages"):
        handover.draw_messages(editor)
    with section(editor, "hours"):
        hours.draw(editor)
    with section(editor, "rollout"):
        installation.draw_rollout(editor)
    with section(editor, "channels"):
        channels = Channels(editor)
    with section(editor, "widget"):
        window = WidgetSection(editor)
    with section(editor, "responder"):
        responder.draw(editor)
    with section(editor, "assistant"):
        installation.draw_assistant(editor)
    with section(editor, "privacy"):
        installation.draw_privacy(editor)
    return what_if, channels, window
