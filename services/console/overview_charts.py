"""The charts of the overview, each made of figures; no RPC and no element here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from metachat.escalation.v1 import policy_pb2

from services.console import charts
from services.console.charts import SERIES, Cell, Chart
from services.console.figure_charts import chart_of, count_cell, reason_word, signal_word
from services.console.figures import ACTIONS, ESCALATED, UNDECIDED, Figures
from services.console.numbers import seconds
from services.console.periods import with_query

# Handed over, reviewed, marked, sent: from the strongest colour to the calmest.
ACTION_COLOURS: Final = dict(
    zip(
        ACTIONS,
        ("var(--chart-2)", "var(--chart-3)", "var(--chart-4)", "var(--chart-1)", "var(--chart-quiet)"),
        strict=True,
    )
)
_MOST_REASONS: Final = 7


def rate(figures: Figures) -> Chart:
    """The share that was handed over, by bucket."""
    text = figures.visit.texts
    labels = _labels(figures)
    values = [figures.rate(begin) for begin in figures.buckets]
    options = charts.axes(labels, percent=True)
    options["series"] = [
        charts.line(text("overview.rate.title"), values, ACTION_COLOURS[ESCALATED], connectNulls=False)
        | {"areaStyle": {"color": ACTION_COLOURS[ESCALATED], "opacity": 0.12}}
    ]
    options["tooltip"][":valueFormatter"] = "(value) => value == null ? '—' : (value * 100).toFixed(1) + ' %'"

    def rows() -> list[list[Cell]]:
        return [
            [
                Cell(label, number=False),
                count_cell(figures, figures.decided(begin), figures.turns_link(place, actions=_decided())),
                count_cell(
                    figures, figures.action(ESCALATED, begin), figures.turns_link(place, actions=ESCALATED)
                ),
                Cell(figures.percent(figures.rate(begin))),
            ]
            for place, (label, begin) in enumerate(zip(labels, figures.buckets, strict=True))
        ]

    return chart_of(
        figures,
        "rate",
        options,
        (
            text("overview.time"),
            text("overview.rate.decided"),
            text("overview.rate.escalated"),
            text("overview.share"),
        ),
        rows,
        lambda _, place: figures.turns_link(place, actions=ESCALATED),
        empty=not figures.decided(),
    )


def actions(figures: Figures) -> Chart:
    """What was done, by bucket."""
    text = figures.visit.texts
    there = [name for name in ACTIONS if figures.action(name)]
    return _stacked(
        figures,
        "actions",
        {name: text(f"figures.action.{name}") for name in there},
        {name: ACTION_COLOURS[name] for name in there},
        figures.by_action,
        lambda name: {"actions": name},
    )


def reasons_over_time(figures: Figures) -> Chart:
    """Why, by bucket."""
    there = list(figures.by_reason)[:_MOST_REASONS]
    return _stacked(
        figures,
        "reasons_time",
        {name: reason_word(figures.visit, name) for name in there},
        dict(zip(there, SERIES, strict=False)),
        figures.by_reason,
        lambda name: {"reason": name},
    )


def reasons(figures: Figures) -> Chart:
    """Why, in all."""
    text = figures.visit.texts
    names = list(figures.by_reason)
    words = [reason_word(figures.visit, name) for name in names]
    counts = [sum(figures.by_reason[name].values()) for name in names]
    options = charts.axes(words, sideways=True)
    options["series"] = [charts.bars(text("overview.turns"), counts, SERIES[0])]
    links = [figures.turns_link(reason=name) for name in names]
    return chart_of(
        figures,
        "reasons",
        options,
        (text("overview.reasons.reason"), text("overview.turns"), text("overview.share")),
        lambda: [
            [
                Cell(word, number=False),
                count_cell(figures, count, link),
                Cell(figures.percent(count / figures.turns)),
            ]
            for word, count, link in zip(words, counts, links, strict=True)
        ],
        lambda _, place: links[place],
        empty=not names,
    )


def waits(figures: Figures) -> Chart:
    """How long handoffs waited."""
    text, bands = figures.visit.texts, figures.outcomes.waits
    words, links = [], []
    for band in bands:
        low, high = (seconds(value, figures.visit.locale) for value in (band.from_seconds, band.to_seconds))
        key = "from_to" if band.from_seconds else "up_to"
        words.append(
            text(f"overview.waits.{key if band.HasField('to_seconds') else 'over'}", low=low, high=high)
        )
        most = {"wait_to": str(band.to_seconds)} if band.HasField("to_seconds") else {}
        links.append(figures.outcomes_link("CLAIMED", wait_from=str(band.from_seconds), **most))
    options = charts.axes(words, sideways=True)
    options["series"] = [
        charts.bars(text("overview.waits.handoffs"), [band.handoffs for band in bands], SERIES[3])
    ]
    return chart_of(
        figures,
        "waits",
        options,
        (text("overview.waits.band"), text("overview.waits.handoffs")),
        lambda: [
            [Cell(word, number=False), count_cell(figures, band.handoffs, link)]
            for word, band, link in zip(words, bands, links, strict=True)
        ],
        lambda _, place: links[place],
        empty=not sum(band.handoffs for band in bands),
    )


def outcomes(figures: Figures) -> Chart:
    """What became of conversations."""
    text, found = figures.visit.texts, figures.outcomes
    parts = [
        (text("overview.contained"), found.contained, "CONTAINED"),
        (text("overview.outcomes.needed_person"), found.conversations - found.contained, "NEEDED_PERSON"),
        (text("overview.reopened"), found.reopened, "REOPENED"),
        (text("overview.outcomes.handoffs"), found.handoffs, "HANDOFFS"),
    ]
    options = charts.axes([word for word, _, _ in parts], sideways=True)
    options["series"] = [charts.bars(text("overview.count"), [count for _, count, _ in parts], SERIES[2])]
    links = [figures.outcomes_link(kind) for _, _, kind in parts]
    return chart_of(
        figures,
        "outcomes",
        options,
        (text("overview.outcomes.outcome"), text("overview.count"), text("overview.share")),
        lambda: [
            [
                Cell(word, number=False),
                count_cell(figures, count, link),
                Cell(
                    figures.percent(
                        count / found.conversations if found.conversations and kind != "HANDOFFS" else None
                    )
                ),
            ]
            for (word, count, kind), link in zip(parts, links, strict=True)
        ],
        lambda _, place: links[place],
        empty=not (found.conversations or found.handoffs),
    )


def signals(figures: Figures) -> Chart:
    """Which signal spoke loudest against the reply."""
    text, found = figures.visit.texts, figures.outcomes.signals
    words = [signal_word(figures.visit, one.name) for one in found]
    options = charts.axes(words, sideways=True) | charts.legend(
        [text("overview.signals.kept"), text("overview.signals.escalated")]
    )
    options["series"] = [
        charts.bars(
            text("overview.signals.kept"),
            [one.turns - one.escalated for one in found],
            SERIES[0],
            stack="all",
        ),
        charts.bars(
            text("overview.signals.escalated"), [one.escalated for one in found], SERIES[1], stack="all"
        ),
    ]
    links = [
        [figures.turns_link(signal=one.name), figures.turns_link(signal=one.name, actions=ESCALATED)]
        for one in found
    ]
    return chart_of(
        figures,
        "signals",
        options,
        (
            text("overview.signals.signal"),
            text("overview.turns"),
            text("overview.signals.escalated"),
            text("overview.share"),
        ),
        lambda: [
            [
                Cell(word, number=False),
                count_cell(figures, one.turns, link[0]),
                count_cell(figures, one.escalated, link[1]),
                Cell(figures.percent(one.escalated / one.turns if one.turns else None)),
            ]
            for word, one, link in zip(words, found, links, strict=True)
        ],
        lambda series, place: links[place][series],
        empty=not found,
        height=max(200, 60 + 30 * len(found)),
    )


def stage_rows(figures: Figures) -> list[list[Cell]]:
    """What was done and what would have been, by stage."""
    text = figures.visit.texts
    name = policy_pb2.Decision.Action.Name
    return [
        [
            Cell(text(f"figures.stage.{one.stage or 'unknown'}"), number=False),
            Cell(text(f"figures.action.{name(one.action)}"), number=False),
            Cell(
                text(f"figures.action.{name(one.shadow_action)}")
                if one.shadow_action
                else text("overview.stages.in_force"),
                number=False,
            ),
            count_cell(
                figures,
                one.turns,
                figures.turns_link(
                    actions=name(one.action),
                    stage=one.stage,
                    shadow_action=name(one.shadow_action) if one.shadow_action else "",
                )
                # Which turns were counted before there were stages, nobody can tell any more.
                if one.stage or name(one.action) == UNDECIDED
                else "",
            ),
        ]
        for one in figures.stages
    ]


def tenant_rows(figures: Figures) -> list[list[Cell]]:
    """Each tenant with its turns and its rate."""
    return [
        [
            Cell(one.name, f"/t/{one.tenant_id}/overview?period={figures.window.name}", number=False),
            _of_tenant(figures, one.tenant_id, one.turns, _decided()),
            _of_tenant(figures, one.tenant_id, one.escalated, ESCALATED),
            Cell(figures.percent(one.escalated / one.turns if one.turns else None)),
        ]
        for one in figures.tenants.tenants
    ]


def _stacked(
    figures: Figures,
    area: str,
    words: dict[str, str],
    colours: dict[str, str],
    counts: Any,
    filters: Callable[[str], dict[str, str]],
) -> Chart:
    labels, names = _labels(figures), list(words)
    options = charts.axes(labels) | charts.legend([words[name] for name in names])
    options["series"] = [
        charts.bars(
            words[name], [counts[name].get(begin, 0) for begin in figures.buckets], colours[name], stack="all"
        )
        for name in names
    ]

    def rows() -> list[list[Cell]]:
        return [
            [
                Cell(label, number=False),
                *(
                    count_cell(
                        figures, counts[name].get(begin, 0), figures.turns_link(place, **filters(name))
                    )
                    for name in names
                ),
            ]
            for place, (label, begin) in enumerate(zip(labels, figures.buckets, strict=True))
        ]

    return chart_of(
        figures,
        area,
        options,
        (figures.visit.texts("overview.time"), *words.values()),
        rows,
        lambda series, place: figures.turns_link(place, **filters(names[series])),
        empty=not names,
        height=300,
    )


def _of_tenant(figures: Figures, tenant_id: str, count: int, actions: str) -> Cell:
    link = with_query(f"/t/{tenant_id}/turns", **figures.window.bounds(), actions=actions)
    return count_cell(figures, count, link)


def _labels(figures: Figures) -> list[str]:
    return [figures.window.label(begin) for begin in figures.buckets]


def _decided() -> str:
    return ",".join(name for name in ACTIONS if name != UNDECIDED)
