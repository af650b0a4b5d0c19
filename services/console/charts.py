"""Charts that everybody can read: one sentence of what is shown, colours of the page, a table behind each.

Drawn as SVG, so that colours are the custom properties of console.css and follow light and dark on their own.
The series colours are those of Okabe and Ito (2008), which people with any colour vision tell apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from services.console.frame import Visit, Words

SERIES: Final = tuple(f"var(--chart-{number})" for number in range(1, 8))
_QUIET: Final = "var(--text-quiet)"
_LINE: Final = "var(--line)"
# As in console.css: widths of labels are measured with it.
_FONT: Final = 'system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif'
# So many characters stand beside each other above a chart in a card.
_LEGEND_LINE: Final = 60


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table: a text, and where it leads to (empty: nowhere)."""

    text: str
    link: str = ""
    number: bool = True


@dataclass(frozen=True)
class Chart:
    """A chart and the same as a table.

    `links`: address behind the point with (series, index), empty where there is none. `rows` is asked for
    once the table is wanted.
    """

    title: str
    sentence: str
    options: dict[str, Any]
    columns: Sequence[str]
    rows: Callable[[], Sequence[Sequence[Cell]]]
    links: Callable[[int, int], str] = field(default=lambda _series, _index: "")
    height: int = 260
    empty: str = ""


def draw(visit: Visit, chart: Chart) -> None:
    """The chart in a card of its own."""
    with ui.element("section").classes("card chart-card"):
        Words("h2", chart.title)
        Words("p", chart.sentence).classes("quiet")
        if chart.empty:
            Words("p", chart.empty).classes("chart-empty")
            return

        def follow(event: EChartPointClickEventArguments) -> None:
            link = chart.links(event.series_index or 0, event.data_index)
            if link:
                ui.navigate.to(link)

        picture = ui.echart(chart.options, on_point_click=follow, renderer="svg")
        picture.classes("chart").style(f"height: {chart.height}px")
        picture.props(f"role=img aria-label={quoted(f'{chart.title}. {chart.sentence}')}")
        place = ui.element("div").classes("chart-table")
        place.set_visibility(False)
        button = (
            ui.element("button").props("type=button aria-expanded=false").classes("text-button chart-toggle")
        )
        with button:
            said = Words("span", visit.texts("charts.show_table"))
            Words("span", f" {chart.title}").classes("visually-hidden")

        def toggle() -> None:
            if not place.default_slot.children:
                with place:
                    table(chart.columns, chart.rows())
            shown = not place.visible
            place.set_visibility(shown)
            picture.set_visibility(not shown)
            said.text = visit.texts("charts.show_chart" if shown else "charts.show_table")
            button.props(f"aria-expanded={'true' if shown else 'false'}")

        button.on("click", toggle)


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, caption: str = "") -> None:
    """A plain table; its first column names the rows."""
    with (
        ui.element("div")
        .classes("table-wrap")
        .props("tabindex=0 role=region")
        .props(f"aria-label={quoted(caption or columns[0])}"),
        ui.element("table").classes("plain compact"),
    ):
        with ui.element("thead"), ui.element("tr"):
            for number, column in enumerate(columns):
                head = Words("th", column).props("scope=col")
                if number and rows and rows[0][number].number:
                    head.classes("number")
        with ui.element("tbody"):
            for row in rows:
                with ui.element("tr"):
                    for number, cell in enumerate(row):
                        _cell(cell, first=number == 0)


def _cell(cell: Cell, *, first: bool) -> None:
    tag = "th" if first else "td"
    with ui.element(tag).classes("number" if cell.number and not first else "") as box:
        if first:
            box.props("scope=row")
        if cell.link:
            Words("a", cell.text).props(f"href={quoted(cell.link)}")
        else:
            Words("span", cell.text)


def axes(
    labels: Sequence[str], *, sideways: bool = False, percent: bool = False, name: str = ""
) -> dict[str, Any]:
    """Options that all charts over categories share."""
    categories: dict[str, Any] = {
        "type": "category",
        "data": list(labels),
        "axisLabel": {"color": _QUIET, "hideOverlap": True},
        "axisLine": {"lineStyle": {"color": "var(--line-strong)"}},
        "axisTick": {"show": False},
    }
    values = value_axis(percent=percent, name=name)
    if sideways:
        categories["inverse"] = True
        categories["axisLabel"] |= {"width": 150, "overflow": "truncate"}
        options = {**base(), "xAxis": values, "yAxis": categories}
        options["grid"]["left"] = 20
        return options
    return {**base(), "xAxis": categories, "yAxis": values}


def base() -> dict[str, Any]:
    """Options that all charts share."""
    return {
        "animation": False,
        "backgroundColor": "transparent",
        "textStyle": {"color": _QUIET, "fontFamily": _FONT},
        "grid": {"left": 8, "right": 28, "top": 16, "bottom": 8, "containLabel": True},
        "tooltip": {
            "trigger": "axis",
            "axisPointer": {"type": "line", "lineStyle": {"color": "var(--line-strong)"}},
            "backgroundColor": "var(--raised)",
            "borderColor": _LINE,
            "textStyle": {"color": "var(--text)"},
            "confine": True,
        },
    }


def value_axis(*, percent: bool = False, name: str = "", most: float | None = None) -> dict[str, Any]:
    """An axis of numbers; with `percent` of shares, 0..1."""
    axis: dict[str, Any] = {
        "type": "value",
        "min": 0,
        "name": name,
        "nameLocation": "middle",
        "nameGap": 28,
        "nameTextStyle": {"color": _QUIET},
        "minInterval": 0 if percent else 1,
        "axisLabel": {"color": _QUIET, "hideOverlap": True},
        "splitLine": {"lineStyle": {"color": _LINE}},
        "splitNumber": 4,
    }
    if percent:
        axis["axisLabel"][":formatter"] = "(value) => Math.round(value * 100) + ' %'"
    if most is not None:
        axis["max"] = most
        axis["interval"] = most / 5
    return axis


def bars(name: str, values: Sequence[float], colour: str, *, stack: str = "") -> dict[str, Any]:
    """A series of bars."""
    series: dict[str, Any] = {
        "type": "bar",
        "name": name,
        "data": list(values),
        "itemStyle": {"color": colour, "borderRadius": 0 if stack else 2},
        "barMaxWidth": 28,
        "barCategoryGap": "20%",
        "emphasis": {"disabled": True},
    }
    if stack:
        series["stack"] = stack
    return series


def line(name: str, points: Sequence[Any], colour: str, **more: Any) -> dict[str, Any]:
    """A series of a line with its points marked."""
    return {
        "type": "line",
        "name": name,
        "data": list(points),
        "lineStyle": {"color": colour, "width": 2},
        "itemStyle": {"color": colour},
        "symbol": "circle",
        "symbolSize": 7,
        "emphasis": {"disabled": True},
        **more,
    }


def legend(names: Sequence[str]) -> dict[str, Any]:
    """A legend above the chart, on two lines where one would be cut; `grid` below makes room for it."""
    top = 40 if sum(len(name) + 4 for name in names) < _LEGEND_LINE else 62
    return {
        "legend": {
            "data": list(names),
            "top": 0,
            "left": 0,
            "itemWidth": 14,
            "itemHeight": 10,
            "icon": "roundRect",
            "textStyle": {"color": "var(--text)", "fontFamily": _FONT},
            "inactiveColor": _QUIET,
        },
        "grid": {"left": 8, "right": 28, "top": top, "bottom": 8, "containLabel": True},
    }


def marks(lines: Sequence[tuple[str, float, str]]) -> dict[str, Any]:
    """Upright lines at places of the horizontal axis: (name, where, colour)."""
    return {
        "silent": True,
        "symbol": "none",
        "data": [
            {
                "xAxis": where,
                "lineStyle": {"color": colour, "width": 2, "type": "solid" if number < 2 else "dashed"},
                "label": {
                    "formatter": name,
                    "color": "var(--text)",
                    "position": "end",
                    "align": "left" if where < 0.7 else "right",
                    # Each on a line of its own: thresholds may lie close together.
                    "distance": [0, 2 + 14 * number],
                },
            }
            for number, (name, where, colour) in enumerate(lines)
        ],
    }


def quoted(text: str) -> str:
    """A text as the value of a prop."""
    return json.dumps(text, ensure_ascii=False)
