"""What all charts of figures share: texts, the table behind, counts that lead somewhere, codes in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.console.charts import Cell, Chart
from services.console.figures import Figures
from services.console.frame import Visit
from services.console.numbers import number


def chart_of(
    figures: Figures,
    area: str,
    options: dict[str, Any],
    columns: Sequence[str],
    rows: Callable[[], Sequence[Sequence[Cell]]],
    links: Callable[[int, int], str],
    *,
    empty: bool,
    nothing: str = "overview.nothing_yet",
    sentence: str = "",
    height: int = 260,
) -> Chart:
    """A chart with the texts of its area (AREA.title, AREA.sentence); `nothing` where it is `empty`."""
    text = figures.visit.texts
    return Chart(
        title=text(f"overview.{area}.title"),
        sentence=text(sentence or f"overview.{area}.sentence"),
        options=options,
        columns=columns,
        rows=rows,
        links=links,
        height=height,
        empty=text(nothing) if empty else "",
    )


def count_cell(figures: Figures, count: int, link: str) -> Cell:
    """A number that leads to what is behind it; zero leads nowhere."""
    return Cell(number(count, figures.visit.locale), link if count else "")


def reason_word(visit: Visit, reason: str) -> str:
    """A reason in words; the code where it has none."""
    key = f"figures.reason.{reason}"
    return visit.texts(key) if key in visit.texts else reason


def signal_word(visit: Visit, name: str) -> str:
    """A signal's name in words."""
    key = f"figures.signal.{name}"
    return visit.texts(key) if key in visit.texts else name.replace("_", " ")
