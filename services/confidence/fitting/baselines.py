"""What others score replies with, written from their descriptions, to be measured beside ours on the same
rows.
"""

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from services.confidence.fitting.learning import Matrix
from services.confidence.fitting.rows import Row
from services.confidence.signals import samples
from services.confidence.words import Words

_HEDGES = re.compile(
    r"\b(?:i think|i believe|maybe|perhaps|possibly|probably|might|could be|not sure|i'm not certain|it seems"
    r"|i guess|likely|unclear|as far as i know)\b",
    re.IGNORECASE,
)


def length(row: Row) -> float | None:
    """Shorter is better: 1 at no words, a half at fifty."""
    return None if row.inputs is None else 50.0 / (50.0 + len(Words(row.inputs.reply).tokens))


def stated_confidence(row: Row) -> float | None:
    """The model's own rating as it stands."""
    return row.extra.get("self_assessment")


def classic_heuristic(row: Row) -> float | None:
    """Self-assessment 0.5, hedging phrases 0.25, reply quality 0.15, scaled to 0..1; no marker counts as
    medium-high.
    """
    if row.inputs is None:
        return None
    reply = row.inputs.reply
    marker = row.extra.get("self_assessment", 0.7)
    hedging = 1.0 - min(1.0, len(_HEDGES.findall(reply)) / 3.0)
    quality = 0.3 if len(reply) < 20 else 0.7 if len(reply) < 50 else 1.0
    return (0.5 * marker + 0.25 * hedging + 0.15 * quality) / 0.9


def sequence_probability(row: Row) -> float | None:
    """Probability of the answer, as far as the data set has one: estimated, mean or of the answer's token."""
    scaled = row.extra.get("sequence_probability")
    if scaled is not None:
        return math.exp(6.0 * (scaled - 1.0))
    return row.extra.get("mean_token_probability", row.extra.get("answer_probability"))


def lexical_similarity(row: Row) -> float | None:
    """Mean overlap of all pairs of answers, question words left in (Fomicheva et al. 2020, with Dice for
    Meteor).
    """
    if row.inputs is None or not row.inputs.samples:
        return None
    answers = [frozenset(Words(text).tokens) for text in (row.inputs.reply, *row.inputs.samples)]
    pairs = [(one, other) for at, one in enumerate(answers) for other in answers[at + 1 :]]
    return sum(2 * len(one & other) / max(1, len(one) + len(other)) for one, other in pairs) / len(pairs)


def semantic_negentropy(row: Row) -> float | None:
    """1 - normalised entropy of the answers' clusters, lexical in place of entailment (Kuhn et al. 2023)."""
    if row.inputs is None or not row.inputs.samples:
        return None
    return samples.negentropy(
        Words(row.inputs.user_message),
        Words(row.inputs.reply),
        [Words(text) for text in row.inputs.samples],
    )


BASELINES: dict[str, Callable[[Row], float | None]] = {
    "length": length,
    "stated confidence": stated_confidence,
    "classic heuristic": classic_heuristic,
    "sequence probability": sequence_probability,
    "lexical similarity": lexical_similarity,
    "semantic negentropy": semantic_negentropy,
}


def scores(name: str, rows: Sequence[Row]) -> Matrix | None:
    """A baseline's scores of a data set; None where it lacks what the baseline needs."""
    values = [BASELINES[name](row) for row in rows]
    if any(value is None for value in values):
        return None
    return np.array(values, dtype=float)
