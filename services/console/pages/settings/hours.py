"""When people answer: spans of the week in a time zone, and dates on which nobody does."""

from __future__ import annotations

import zoneinfo
from datetime import date
from typing import Final

from metachat.escalation.v1.settings_pb2 import WeekSpan
from nicegui import ui

from services.console.frame import Words
from services.console.pages.settings.controls import quoted
from services.console.pages.settings.editor import EVERYTHING, Editor

ZONE: Final = "handover.business_hours.time_zone"
SPANS: Final = "handover.business_hours.spans"
CLOSED: Final = "handover.business_hours.closed_dates"
_DAYS: Final = range(1, 8)
_USUAL: Final = ("09:00", "17:00")


def draw(editor: Editor) -> None:
    """One line for each day."""
    texts = editor.visit.texts
    zones = sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone or zone == "UTC")
    zone = ui.select(
        zones, label=texts("settings.field.handover_business_hours_time_zone"), with_input=True
    ).props("outlined dense options-dense")
    zone.classes("field")
    says = Words("p", "").classes("help")
    days = ui.element("div").classes("days")
    closed = ui.element("div").classes("stack")
    silent = False

    def spans() -> list[WeekSpan]:
        return list(editor.get(SPANS) or ())

    def put(changed: list[WeekSpan]) -> None:
        ordered = sorted(changed, key=lambda span: (span.weekday, getattr(span, "from")))
        editor.set(SPANS, tuple(ordered) or None)
        show()

    def edit(at: int, name: str, value: str) -> None:
        present = spans()
        if at < len(present) and value:
            setattr(present[at], name, value)
            editor.set(SPANS, tuple(present))

    def show() -> None:
        nonlocal silent
        silent = True
        present = editor.get(ZONE) or "UTC"
        if present not in zones:
            zone.set_options([*zones, present])
        zone.value = present
        silent = False
        always = not spans()
        says.set_text(texts("settings.hours.always" if always else "settings.hours.help"))
        days.clear()
        with days:
            for day in _DAYS:
                _day(day)
        closed.clear()
        with closed:
            _closed()

    def _day(day: int) -> None:
        name = texts(f"settings.weekday.{day}")
        with ui.element("div").classes("day").props("role=group").props(quoted("aria-label", name)):
            Words("span", name).classes("day-name")
            with ui.element("div").classes("spans"):
                found = [(at, span) for at, span in enumerate(spans()) if span.weekday == day]
                if not found:
                    state = "closed" if spans() else "open"
                    Words("span", texts(f"settings.hours.{state}")).classes("quiet")
                for at, span in found:
                    with ui.element("span").classes("span"):
                        for field in ("from", "until"):
                            shown = getattr(span, field)
                            entry = ui.element("input").classes("time-field")
                            entry.props(f"type=time value={'23:59' if shown == '24:00' else shown} required")
                            entry.props(quoted("aria-label", texts(f"settings.hours.{field}", day=name)))
                            entry.on(
                                "change",
                                lambda event, at=at, field=field: edit(
                                    at,
                                    field,
                                    "24:00" if (event.args, field) == ("23:59", "until") else event.args,
                                ),
                                js_handler="(event) => emit(event.target.value)",
                            )
                        with (
                            ui.element("button")
                            .props("type=button")
                            .props(quoted("aria-label", texts("settings.hours.remove", day=name)))
                            .classes("icon-button")
                            .on("click", lambda _, at=at: put([s for i, s in enumerate(spans()) if i != at]))
                        ):
                            ui.icon("close").props("aria-hidden=true")
            ui.button(
                icon="add",
                on_click=lambda _, day=day: put(
                    [*spans(), WeekSpan(weekday=day, until=_USUAL[1], **{"from": _USUAL[0]})]
                ),
            ).props("flat dense round").props(quoted("aria-label", texts("settings.hours.add", day=name)))

    def _closed() -> None:
        Words("h3", texts("settings.field.handover_business_hours_closed_dates"))
        given = list(editor.get(CLOSED) or ())
        with ui.element("ul").classes("chips"):
            for each in given:
                with ui.element("li").classes("chip"):
                    Words("span", each)
                    with (
                        ui.element("button")
                        .props("type=button")
                        .props(quoted("aria-label", texts("settings.chips.remove", word=each)))
                        .classes("chip-remove")
                        .on("click", lambda _, each=each: close([d for d in given if d != each]))
                    ):
                        ui.icon("close").props("aria-hidden=true")
        entry = ui.element("input").props("type=date").classes("time-field")
        entry.props(quoted("aria-label", texts("settings.hours.closed_date")))
        entry.on(
            "change",
            lambda event: close([*given, event.args]),
            js_handler="(event) => emit(event.target.value)",
        )

    def close(dates: list[str]) -> None:
        good = set()
        for each in dates:
            try:
                good.add(date.fromisoformat(each).isoformat())
            except ValueError:
                continue
        editor.set(CLOSED, tuple(sorted(good)) or None)
        show()

    def weekdays() -> None:
        put([WeekSpan(weekday=day, until=_USUAL[1], **{"from": _USUAL[0]}) for day in range(1, 6)])

    with ui.element("div").classes("line"):
        ui.button(texts("settings.hours.office"), on_click=weekdays).props("outline no-caps")
        ui.button(texts("settings.hours.clear"), on_click=lambda: put([])).props("flat no-caps")
    zone.on_value_change(lambda event: None if silent else editor.set(ZONE, event.value or None))
    editor.on_change(lambda path: show() if path == EVERYTHING else None)
    show()
