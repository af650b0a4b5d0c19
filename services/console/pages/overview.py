"""What happened: rates, actions, reasons, scores, waits; of one tenant, and of all for the operator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from metachat.escalation.v1 import tenant_pb2
from nicegui import ui

from services.console import charts, overview_charts, score_charts
from services.console.figures import ESCALATED, Figures
from services.console.frame import ADMINS, Visit, Words, operator_page, tenant_page
from services.console.numbers import number, seconds
from services.console.periods import DEFAULT, KINDS, Window, with_query, zone_named

_TO_MY_ZONE: Final = (
    "() => { const to = new URL(location.href);"
    " to.searchParams.set('zone', Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC');"
    " location.assign(to); }"
)


@tenant_page("overview", area="overview", roles=ADMINS)
async def page(visit: Visit, period: str = DEFAULT, zone: str = "") -> None:
    """One tenant; days and hours are those of its business hours unless `zone` says otherwise."""
    tenant = await visit.calls.tenants.GetTenant(tenant_pb2.GetTenantRequest(tenant_id=visit.tenant_id))
    await _draw(visit, period, zone, tenant.settings.handover.business_hours.time_zone)


@operator_page("overview", area="overview", title="overview.all_title")
async def all_tenants(visit: Visit, period: str = DEFAULT, zone: str = "") -> None:
    """All tenants together, and each in a row."""
    await _draw(visit, period, zone, "")


async def _draw(visit: Visit, period: str, zone: str, default_zone: str) -> None:
    window = Window.named(period, zone_named(zone or default_zone), datetime.now(UTC))
    _choices(visit, window, zone)
    figures = await Figures.read(visit, window)
    if not figures.turns and not figures.outcomes.conversations and not figures.reliability.verdicts:
        with ui.element("div").classes("empty-state card"):
            ui.icon("insights").props("aria-hidden=true")
            Words("p", visit.texts("overview.empty"))
            Words("p", visit.texts("overview.empty_help"))
            if visit.tenant_id:
                with ui.element("a").props(f"href={visit.path('start')}").classes("button secondary"):
                    Words("span", visit.texts("menu.start"))
        return
    _tiles(figures)
    if not visit.tenant_id:
        _tenants(figures)
    with ui.element("div").classes("chart-grid"):
        for make in (
            overview_charts.rate,
            overview_charts.actions,
            overview_charts.reasons_over_time,
            overview_charts.reasons,
            score_charts.histogram,
            overview_charts.waits,
            score_charts.reliability,
            score_charts.risk,
            overview_charts.outcomes,
            overview_charts.signals,
        ):
            charts.draw(visit, make(figures))
    _stages(figures)


def _choices(visit: Visit, window: Window, zone: str) -> None:
    """The periods as links, so that each can be bookmarked and sent; and whose days and hours are meant."""
    here = visit.path("overview") if visit.tenant_id else "/all/overview"
    with ui.element("div").classes("line period-line"):
        label = json.dumps(visit.texts("overview.period"), ensure_ascii=False)
        with ui.element("nav").props(f"aria-label={label}").classes("segments"):
            for name in KINDS:
                current = "aria-current=true" if name == window.name else ""
                Words("a", visit.texts(f"overview.periods.{name}")).props(
                    f"href={json.dumps(with_query(here, period=name, zone=zone))} {current}"
                )
        Words("span", visit.texts("overview.zone", zone=window.zone.key)).classes("quiet")
        if not zone:
            with ui.element("button").props("type=button").classes("text-button chart-toggle") as button:
                Words("span", visit.texts("overview.my_zone"))
            button.on("click", js_handler=_TO_MY_ZONE)


def _tiles(figures: Figures) -> None:
    visit, found = figures.visit, figures.outcomes
    text, locale = visit.texts, visit.locale
    escalated, decided = figures.action(ESCALATED), figures.decided()
    shares: Sequence[tuple[str, str, str, str]] = (
        (text("overview.turns"), number(figures.turns, locale), "", figures.turns_link()),
        (
            text("overview.escalation_rate"),
            figures.percent(figures.rate()),
            text("overview.of", part=number(escalated, locale), whole=number(decided, locale)),
            figures.turns_link(actions=ESCALATED),
        ),
        (
            text("overview.contained"),
            figures.percent(found.contained / found.conversations if found.conversations else None),
            text(
                "overview.of", part=number(found.contained, locale), whole=number(found.conversations, locale)
            ),
            figures.outcomes_link("CONTAINED"),
        ),
        (
            text("overview.reopened"),
            figures.percent(found.reopened / found.conversations if found.conversations else None),
            text(
                "overview.of", part=number(found.reopened, locale), whole=number(found.conversations, locale)
            ),
            figures.outcomes_link("REOPENED"),
        ),
        (
            text("overview.median_wait"),
            seconds(found.waiting_seconds_p50, locale) if any(band.handoffs for band in found.waits) else "—",
            text("overview.p90", time=seconds(found.waiting_seconds_p90, locale))
            if any(band.handoffs for band in found.waits)
            else "",
            figures.outcomes_link("CLAIMED"),
        ),
        (
            text("overview.waiting_now"),
            number(found.waiting_now, locale),
            "",
            figures.outcomes_link("WAITING_NOW"),
        ),
    )
    with ui.element("ul").classes("tiles"):
        for label, value, detail, link in shares:
            with ui.element("li"), ui.element("a").props(f"href={json.dumps(link)}").classes("tile"):
                Words("span", label).classes("tile-label")
                Words("strong", value).classes("tile-value")
                Words("span", detail).classes("tile-detail")


def _tenants(figures: Figures) -> None:
    text, found = figures.visit.texts, figures.tenants
    with ui.element("section").classes("card chart-card"):
        Words("h2", text("overview.tenants.title"))
        Words("p", text("overview.tenants.sentence")).classes("quiet")
        charts.table(
            (
                text("overview.tenant"),
                text("overview.rate.decided"),
                text("overview.rate.escalated"),
                text("overview.escalation_rate"),
            ),
            overview_charts.tenant_rows(figures),
            caption=text("overview.tenants.title"),
        )
        if len(found.tenants) < found.total:
            more = text("overview.tenants.more", shown=len(found.tenants), total=found.total)
            Words("p", more).classes("quiet")


def _stages(figures: Figures) -> None:
    text = figures.visit.texts
    if not figures.stages:
        return
    with ui.element("section").classes("card chart-card"):
        Words("h2", text("overview.stages.title"))
        Words("p", text("overview.stages.sentence")).classes("quiet")
        columns = ("stage", "done", "would")
        charts.table(
            (*(text(f"overview.stages.{key}") for key in columns), text("overview.turns")),
            overview_charts.stage_rows(figures),
            caption=text("overview.stages.title"),
        )
