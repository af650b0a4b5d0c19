"""Charts of scores: how they are spread, how true they are, what could be sent at which error."""

from __future__ import annotations

from typing import Final

from services.console import charts
from services.console.charts import SERIES, Cell, Chart
from services.console.figure_charts import chart_of, count_cell
from services.console.figures import Figures

_BINS: Final = 50


def histogram(figures: Figures) -> Chart:
    """How many got which score, and where the thresholds are."""
    text, found = figures.visit.texts, figures.histogram
    counts = list(found.counts)
    shown = figures.decimal
    options = charts.base()
    options["xAxis"] = charts.value_axis(most=1.0) | {
        "minInterval": 0,
        "splitLine": {"show": False},
        "interval": 0.1,
    }
    options["yAxis"] = charts.value_axis()
    series = charts.bars(text("overview.turns"), [], SERIES[0]) | {
        "data": [[(place + 0.5) / _BINS, count] for place, count in enumerate(counts)],
        "barWidth": "88%",
        "barMinHeight": 0,
    }
    if found.HasField("thresholds"):
        lines = [
            (
                text("overview.histogram.immediate", value=shown(found.thresholds.immediate)),
                found.thresholds.immediate,
                "var(--chart-2)",
            ),
            (
                text("overview.histogram.review", value=shown(found.thresholds.review)),
                found.thresholds.review,
                "var(--chart-3)",
            ),
        ]
        stricter = found.high_stakes_thresholds
        if stricter != found.thresholds:
            lines += [
                (
                    text("overview.histogram.high_stakes", value=shown(stricter.immediate)),
                    stricter.immediate,
                    "var(--chart-2)",
                ),
                (
                    text("overview.histogram.high_stakes", value=shown(stricter.review)),
                    stricter.review,
                    "var(--chart-3)",
                ),
            ]
        series["markLine"] = charts.marks(lines)
        options["grid"]["top"] = 20 + 14 * len(lines)
    options["series"] = [series]
    options["tooltip"]["trigger"] = "item"
    bands = [(place / _BINS, (place + 1) / _BINS) for place in range(_BINS)]
    links = [figures.turns_link(score_from=f"{low:.2f}", score_to=f"{high:.2f}") for low, high in bands]
    return chart_of(
        figures,
        "histogram",
        options,
        (text("overview.histogram.band"), text("overview.turns")),
        lambda: [
            [Cell(f"{shown(low)} – {shown(high)}", number=False), count_cell(figures, count, link)]
            for (low, high), count, link in zip(bands, counts, links, strict=True)
        ],
        lambda _, place: links[place],
        empty=not sum(counts),
        sentence="overview.histogram.sentence"
        if figures.visit.tenant_id
        else "overview.histogram.sentence_all",
    )


def reliability(figures: Figures) -> Chart:
    """Scores against what people said."""
    text, bands = figures.visit.texts, figures.reliability.bins
    options = charts.base()
    options["xAxis"] = charts.value_axis(most=1.0, name=text("overview.score")) | {"minInterval": 0}
    options["yAxis"] = charts.value_axis(percent=True, most=1.0)
    options["grid"]["bottom"] = 28
    options["tooltip"]["trigger"] = "item"
    options["tooltip"][":valueFormatter"] = (
        "(value) => Array.isArray(value) ? value.map((one) => (+one).toFixed(2)).join(' → ') : value"
    )
    points = [[band.mean_score, band.share_correct] for band in bands]
    silent = {"silent": True, "symbol": "none", "tooltip": {"show": False}}
    options["series"] = [
        charts.line(text("overview.reliability.truth"), points, SERIES[0], symbolSize=9),
        charts.line(text("overview.reliability.diagonal"), [[0, 0], [1, 1]], "var(--line-strong)", **silent)
        | {"lineStyle": {"color": "var(--line-strong)", "type": "dashed", "width": 1}},
        *(
            charts.line(
                "",
                [[band.mean_score, band.interval_lower], [band.mean_score, band.interval_upper]],
                SERIES[0],
                **silent,
            )
            | {"lineStyle": {"color": SERIES[0], "width": 1.5, "opacity": 0.6}}
            for band in bands
        ),
    ]
    links = [
        figures.base("turns") + f"?judged=ANY&score_from={band.lower:g}&score_to={band.upper:g}"
        for band in bands
    ]
    shown = figures.decimal
    return chart_of(
        figures,
        "reliability",
        options,
        tuple(
            text(f"overview.reliability.{key}") for key in ("band", "mean", "correct", "interval", "verdicts")
        ),
        lambda: [
            [
                Cell(f"{shown(band.lower)} – {shown(band.upper)}", number=False),
                Cell(shown(band.mean_score)),
                Cell(figures.percent(band.share_correct)),
                Cell(f"{figures.percent(band.interval_lower)} – {figures.percent(band.interval_upper)}"),
                count_cell(figures, band.verdicts, link),
            ]
            for band, link in zip(bands, links, strict=True)
        ],
        lambda series, place: links[place] if series == 0 else "",
        empty=not bands,
        nothing="overview.no_verdicts",
        height=300,
    )


def risk(figures: Figures) -> Chart:
    """How many could be sent at which error."""
    text, points = figures.visit.texts, figures.reliability.risk_coverage
    options = charts.base()
    options["xAxis"] = charts.value_axis(percent=True, most=1.0, name=text("overview.risk.coverage"))
    options["yAxis"] = charts.value_axis(percent=True)
    options["grid"]["bottom"] = 28
    options["series"] = [
        charts.line(
            text("overview.risk.risk"),
            [[point.coverage, point.risk] for point in points],
            SERIES[1],
            symbolSize=5,
        )
    ]
    options["tooltip"][":valueFormatter"] = "(value) => (value * 100).toFixed(1) + ' %'"
    shown = figures.decimal
    links = [figures.base("turns") + f"?judged=WRONG&score_from={point.threshold:.6f}" for point in points]
    return chart_of(
        figures,
        "risk",
        options,
        tuple(text(f"overview.risk.{key}") for key in ("threshold", "coverage", "risk")),
        lambda: [
            [
                Cell(shown(point.threshold), number=False),
                Cell(figures.percent(point.coverage)),
                Cell(figures.percent(point.risk), link),
            ]
            for point, link in zip(points, links, strict=True)
        ],
        lambda _, place: links[place],
        empty=not points,
        nothing="overview.no_verdicts",
        height=300,
    )
