"""From rows to one model per pattern of inputs.

Each family of inputs is fitted where data have it; the wording's own model enters it as one column whose
weight is at most 1. Where no data set has two families together, their log-odds add up, damped by what the
one pair that data do have (self-assessment with token probabilities) shows two families to repeat of each
other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from services.confidence.fitting.learning import Fit, Matrix, Sample, fit
from services.confidence.fitting.rows import Row
from services.confidence.fusion import FAMILIES, PatternModel, Term, all_patterns
from services.confidence.scorer import read
from services.confidence.scoring import Figures
from services.confidence.signals.catalogue import DESCRIPTIONS
from services.confidence.signals.self_assessment import SelfAssessment
from services.confidence.words import word_set

# The wording transfers poorly between data sets and is held back more than what comes with the reply.
PENALTY = 0.03
FAMILY_PENALTY = 0.0025
# Good wording is the normal case: these say nothing at their best. Others say nothing at their mean.
SILENT_AT_BEST = word_set(
    """
    deflection refusal stated_uncertainty reservations empty_talk time_sensitive_question
    question_length self_doubt grounding_numbers relevance
    """
)
# Rules of the product rather than findings: a reply that says it has no answer, refuses, or says nothing
# leaves the question unanswered, whatever the label of a data set calls it, and so does a page about
# something else. Fitted weights may be larger, never smaller.
# A number that stands in no passage is too rare in the data (4 to 11 % of replies) to hold a weight.
FLOORS = {
    "deflection": 3.2,
    "refusal": 1.2,
    "empty_talk": 3.2,
    "relevance": 6.0,
    "self_doubt": 2.4,
    "grounding_numbers": 0.5,
}
# Weights that no data set here can fit beside the others; halves of what each has alone, because they repeat
# each other.
SHARED = {"sequence_probability": 0.5, "reply_probability": 0.5, "answer_probability": 0.5}
# Labels that do not speak of what the signal measures: a faithful remark in small talk need not answer the
# last turn.
MEANINGLESS = frozenset({("begin_wow", "relevance")})
WORDING = "wording"


def names_of(family: str) -> tuple[str, ...]:
    """Signals of a family, forged_marker left out: it explains, and carries no weight."""
    return tuple(one.name for one in DESCRIPTIONS if one.family == family and one.name != "forged_marker")


def _values(rows: Sequence[Row], names: Sequence[str]) -> Matrix:
    values = np.full((len(rows), len(names)), np.nan)
    for index, row in enumerate(rows):
        known: dict[str, float] = dict(row.extra)
        if "self_assessment" in known:
            stated = SelfAssessment("", known["self_assessment"])
            known |= {reading.name: reading.value for reading in stated.readings()}
        if row.inputs is not None:
            known |= {
                reading.name: reading.value
                for reading in read(row.inputs).available
                if reading.name not in known
            }
        for column, name in enumerate(names):
            if name in known and (row.data_set, name) not in MEANINGLESS:
                values[index, column] = known[name]
    return values


def sample_of(name: str, rows: Sequence[Row], names: Sequence[str]) -> Sample:
    """One data set's rows as numbers."""
    return Sample(
        name,
        _values(rows, names),
        np.array([float(row.correct) for row in rows]),
        tuple(row.group for row in rows),
        np.zeros(len(rows)),
        np.ones(len(rows)),
    )


@dataclass(frozen=True)
class Table:
    """All rows of all views as numbers, read once: text columns first, then the family's own."""

    text: tuple[str, ...]
    families: Mapping[str, Mapping[str, Sample]]

    @classmethod
    def of(cls, views: Mapping[str, Mapping[str, Sequence[Row]]], advance: object = None) -> "Table":
        """Reads every row; advance() is called once for each data set."""
        text = names_of("text")
        families: dict[str, dict[str, Sample]] = {}
        for family, sets in views.items():
            names = text + (names_of(family) if family != "text" else ())
            if family == "logprobs":
                names += names_of("stated")
            families[family] = {}
            for name, rows in sets.items():
                families[family][name] = sample_of(name, rows, names)
                if callable(advance):
                    advance()
        return cls(text, families)


def _fixed(names: Iterable[str]) -> list[float | None]:
    return [1.0 if name in SILENT_AT_BEST else None for name in names]


def fit_text(samples: Sequence[Sample], names: Sequence[str]) -> Fit:
    """The wording's own model."""
    samples = [_cut(sample, len(names)) for sample in samples]
    return fit(samples, names, _fixed(names), [FLOORS.get(name, 0.0) for name in names], penalty=PENALTY)


def _cut(sample: Sample, columns: int) -> Sample:
    return Sample(
        sample.name, sample.values[:, :columns], sample.labels, sample.groups, sample.offsets, sample.weights
    )


def wording_of(text: Fit, sample: Sample) -> Matrix:
    """What the wording adds to the log-odds of each row; 0 where there is no text."""
    centred = np.nan_to_num(sample.values[:, : len(text.names)] - text.neutral, nan=0.0)
    result: Matrix = centred @ text.weights
    return result


def with_wording(text: Fit, sample: Sample, columns: Sequence[int]) -> Sample:
    """The sample with the wording as its first column and the chosen columns of the family behind it."""
    values = np.column_stack([wording_of(text, sample), sample.values[:, list(columns)]])
    return Sample(sample.name, values, sample.labels, sample.groups, sample.offsets, sample.weights)


def fit_family(text: Fit, samples: Sequence[Sample], names: Sequence[str]) -> Fit:
    """A family's model; its first weight (0..1) is how much of the wording's model still counts beside it."""
    start = len(text.names)
    prepared = [with_wording(text, sample, range(start, start + len(names))) for sample in samples]
    return fit(
        prepared,
        (WORDING, *names),
        [0.0, *_fixed(names)],
        [0.0, *(FLOORS.get(name, 0.0) for name in names)],
        penalty=FAMILY_PENALTY,
        ceilings=[1.0] + [12.0] * len(names),
    )


@dataclass(frozen=True)
class Trained:
    """The fitted parts, and the models of all patterns made of them."""

    text: Fit
    families: Mapping[str, Fit]
    damping: float
    models: Mapping[str, PatternModel] = field(default_factory=dict)


def damping_of(text: Fit, families: Mapping[str, Fit], samples: Mapping[str, Sample]) -> float:
    """How much of two families' own log-odds is left when both are there, from data that have both (0.5 to
    1).
    """
    start = len(text.names)
    probable, stated = names_of("logprobs"), names_of("stated")

    def added(family: str, values: Matrix) -> Matrix:
        made = families[family]
        result: Matrix = np.nan_to_num(values - made.neutral[1:], nan=0.0) @ made.weights[1:]
        return result

    both = []
    for sample in samples.values():
        first = sample.values[:, start : start + len(probable)]
        second = sample.values[:, start + len(probable) : start + len(probable) + len(stated)]
        if np.isnan(second).all():
            continue
        columns = [wording_of(text, sample), added("logprobs", first), added("stated", second)]
        both.append(
            Sample(
                sample.name,
                np.column_stack(columns),
                sample.labels,
                sample.groups,
                sample.offsets,
                sample.weights,
            )
        )
    if not both:
        return 1.0
    made = fit(
        both,
        (WORDING, "logprobs", "stated"),
        [0.0] * 3,
        [0.0] * 3,
        penalty=FAMILY_PENALTY,
        ceilings=[1.0] * 3,
    )
    return round(float(np.clip(made.weights[1:].mean(), 0.5, 1.0)), 3)


def train(table: Table, *, without: str = "") -> Trained:
    """All models, one data set left out everywhere where it is named."""

    def kept(family: str) -> list[Sample]:
        return [sample for name, sample in table.families[family].items() if name != without]

    text = fit_text(kept("text"), table.text)
    families = {family: fit_family(text, kept(family), names_of(family)) for family in FAMILIES}
    both = {name: sample for name, sample in table.families["logprobs"].items() if name != without}
    damping = damping_of(text, families, both)
    return Trained(text, families, damping, compose(text, families, damping))


def folded(trained: Trained, slopes: Mapping[str, tuple[float, float]]) -> Trained:
    """The same models with each family's transfer slope and intercept worked into its weights and base.

    Raw scores then mean the same in every pattern, and one map can serve all patterns of a tenant.
    """
    families = {family: fit.folded(*slopes[family]) for family, fit in trained.families.items()}
    models = compose(trained.text, families, trained.damping)
    own = trained.text.folded(*slopes["text"])
    return Trained(trained.text, families, trained.damping, {**models, "text": _text_model(own)})


def _floored(name: str, weight: float, point: float) -> Term:
    return Term(round(max(weight, FLOORS.get(name, 0.0)), 3), point)


def _text_model(text: Fit) -> PatternModel:
    terms = {
        name: _floored(name, float(weight), float(point))
        for name, weight, point in zip(text.names, text.weights, text.neutral, strict=True)
        if weight > 0.0
    }
    return PatternModel("text", round(text.base, 3), terms, figures=Figures())


def compose(text: Fit, families: Mapping[str, Fit], damping: float) -> dict[str, PatternModel]:
    """One model for each pattern: the fitted families, or several of them damped."""
    models = {"text": _text_model(text)}
    for pattern in all_patterns():
        given = [name for name in pattern.split("+") if name != "text"]
        if not given:
            continue
        # Two repeat a share of each other, three a share more: 1, d, d / (2 - d) ... of the weights stay.
        left = 1.0 / (1.0 + (len(given) - 1) * (1.0 / damping - 1.0))
        wording = min(float(families[family].weights[0]) for family in given)
        terms = {
            name: _floored(name, float(weight) * wording, float(point))
            for name, weight, point in zip(text.names, text.weights, text.neutral, strict=True)
            if weight > 0.0
        }
        for family in given:
            made = families[family]
            for name, weight, point in list(zip(made.names, made.weights, made.neutral, strict=True))[1:]:
                if weight > 0.0:
                    share = SHARED.get(name, 1.0)
                    terms[name] = Term(round(float(weight) * left * share, 3), float(point))
        base = float(np.mean([families[family].base for family in given]))
        models[pattern] = PatternModel(pattern, round(base, 3), terms, figures=Figures())
    return models
