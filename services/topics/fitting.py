"""Fits the coefficient files of this package and writes `docs/topics-report.md`; needs the `fit` extra.

    python -m services.topics.fitting --data FOLDER

FOLDER holds `domain_questions.jsonl` and `human_handoff.jsonl`. The fit is deterministic: fixed folds,
rounded numbers.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from services.topics import fitting_report
from services.topics.handoff_intent import read_clues
from services.topics.high_stakes import topic_features
from services.topics.vocabulary import high_stakes_phrases, read_toml
from services.topics.words import Words

# Everyday customer service for this product, whatever the bank that labelled them meant by it.
NOT_FITTED = frozenset(
    {"request_refund", "Refund_not_showing_up", "edit_personal_details", "country_support"}
)
TOPICS = ("medical", "legal", "financial")
# Found in cross-validation: lower means more of the right questions and more everyday questions by mistake.
THRESHOLDS = {"medical": 0.5, "legal": 0.4, "financial": 0.7}
HANDOFF_THRESHOLD = 0.8
FOLDS = 5
_STRENGTH = 0.3
_SEEN_AT_LEAST = 3
_SMALLEST_WEIGHT = 0.4
_LARGEST_WEIGHT = 4.0
_EVERYDAY_COPIES = 2

_WORD = "word:"

Features = dict[str, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """Weights by feature name; word features are called `word:KEY`."""

    intercept: float
    weights: dict[str, float]

    def probability(self, features: Features) -> float:
        """Probability 0..1 of one row."""
        logit = self.intercept + sum(self.weights.get(name, 0.0) * value for name, value in features.items())
        return 1.0 / (1.0 + exp(-max(-60.0, min(60.0, logit))))


def question_features(text: str) -> Features:
    """The features of `high_stakes.classify`, by name."""
    words, lists = topic_features(text)
    scale = 1.0 / sqrt(max(1, len(words.key_set)))
    return {f"{_WORD}{key}": scale for key in words.key_set} | lists


def fit(
    rows: Sequence[Features],
    labels: Sequence[int],
    *,
    strength: float = _STRENGTH,
    rising: frozenset[str] = frozenset(),
) -> Fitted:
    """Ridge logistic regression; rare words are penalised less (inverse document frequency).

    No word weighs more than four, so that none decides alone, and weak ones are dropped; features in `rising`
    never count against the label.
    """
    counts = Counter(name for row in rows for name in row)
    kept = {n for n, count in counts.items() if count >= _SEEN_AT_LEAST or not n.startswith(_WORD)}
    vectoriser = DictVectorizer()
    matrix = vectoriser.fit_transform([{n: v for n, v in row.items() if n in kept} for row in rows])
    names = vectoriser.get_feature_names_out()
    spread = np.array([log(len(rows) / (1 + counts[n])) + 1 if n.startswith(_WORD) else 1.0 for n in names])
    model = LogisticRegression(C=strength, max_iter=5000).fit(matrix.multiply(spread).tocsr(), labels)
    weights: dict[str, float] = {}
    for name, weight in zip(map(str, names), model.coef_[0] * spread, strict=True):
        is_word = name.startswith(_WORD)
        if (is_word and abs(weight) < _SMALLEST_WEIGHT) or (name in rising and weight < 0):
            continue
        bounded = min(_LARGEST_WEIGHT, float(weight)) if is_word else float(weight)
        weights[name] = round(bounded, 2)
    return Fitted(round(float(model.intercept_[0]), 3), weights)


def rising_features(topic: str) -> frozenset[str]:
    """A topic's words and lists: chance in the data must not turn "dose" into a word against medicine."""
    labels = (topic, f"hints:{topic}")
    words = (
        word for label, phrase in high_stakes_phrases() if label in labels for word in Words(phrase).keys
    )
    return frozenset(labels) | {f"{_WORD}{word}" for word in words}


def group_of(row: dict[str, Any]) -> str:
    """Rows of one intent stay together; free questions stand alone."""
    return str(row["id"]) if row["dataset"] == "expertqa" else f"{row['dataset']}/{row['field']}"


def handoff_group(row: dict[str, Any]) -> str:
    """Rows of one intent, and wishes of the same words, stay together."""
    return str(row.get("intent") or " ".join(sorted(Words(row["text"]).key_set)))


def cross_validate(
    rows: Sequence[Features],
    labels: Sequence[int],
    groups: Sequence[str],
    fitted: Sequence[bool],
    strength: float = _STRENGTH,
    rising: frozenset[str] = frozenset(),
) -> Floats:
    """Probability of each row by a model that saw no row of its group; `fitted` false: only scored."""
    out = np.zeros(len(rows))
    for train, test in GroupKFold(FOLDS).split(np.zeros(len(rows)), labels, groups):
        seen = [i for i in train if fitted[i]]
        model = fit([rows[i] for i in seen], [labels[i] for i in seen], strength=strength, rising=rising)
        out[test] = [model.probability(rows[i]) for i in test]
    return out


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of one file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def everyday_rows() -> list[dict[str, Any]]:
    """Our own everyday questions as rows of the domain `other`, each a group of its own."""
    texts = [text for texts in read_toml("everyday.toml").values() for text in texts]
    return [
        {
            "id": f"everyday-{i}",
            "text": text,
            "domain": "other",
            "field": f"everyday-{i}",
            "dataset": "everyday",
        }
        for i, text in enumerate(texts)
    ]


def fit_high_stakes(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Floats]]:
    """The content of the coefficient file, the rows, and their cross-validated probabilities per topic."""
    everyday = everyday_rows()
    rows = read_rows(folder / "domain_questions.jsonl") + everyday * _EVERYDAY_COPIES
    features = [question_features(row["text"]) for row in rows]
    groups = [group_of(row) for row in rows]
    fitted = [row["field"] not in NOT_FITTED for row in rows]
    models, probabilities = {}, {}
    for topic in TOPICS:
        labels = [int(row["domain"] == topic) for row in rows]
        probabilities[topic] = cross_validate(features, labels, groups, fitted)
        seen = [i for i, use in enumerate(fitted) if use]
        models[topic] = _as_json(
            fit([features[i] for i in seen], [labels[i] for i in seen]), THRESHOLDS[topic]
        )
    unique = len(rows) - len(everyday) * (_EVERYDAY_COPIES - 1)
    return models, rows[:unique], {topic: values[:unique] for topic, values in probabilities.items()}


def fit_handoff(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], Floats, Floats]:
    """The file's content, the rows, cross-validated probabilities (classifier), pattern hits (0/1)."""
    # rasa_demo is under the GPL: it may be measured, nothing that ships may be derived from it.
    rows = read_rows(folder / "human_handoff.jsonl")
    read = [read_clues(row["text"], all_clues=True) for row in rows]
    features = [clues.as_features() for _, clues in read]
    labels = [int(row["wants_human"]) for row in rows]
    groups = [handoff_group(row) for row in rows]
    fitted = ["rasa_demo" not in row["dataset"] for row in rows]
    probabilities = cross_validate(features, labels, groups, fitted, strength=1.0)
    seen = [i for i, use in enumerate(fitted) if use]
    model = fit([features[i] for i in seen], [labels[i] for i in seen], strength=1.0)
    return (
        {"wants_person": _as_json(model, HANDOFF_THRESHOLD)},
        rows,
        # `detect` believes the classifier only in short messages that take nothing back.
        probabilities * np.array([float(clues.short and not clues.denied) for _, clues in read]),
        np.array([float(bool(matched)) for matched, _ in read]),
    )


def _as_json(model: Fitted, threshold: float) -> dict[str, Any]:
    def ordered(items: Iterable[tuple[str, float]]) -> dict[str, float]:
        return dict(sorted(items, key=lambda item: (-item[1], item[0])))

    words = ((n.removeprefix(_WORD), w) for n, w in model.weights.items() if n.startswith(_WORD))
    others = ((n, w) for n, w in model.weights.items() if not n.startswith(_WORD))
    return {
        "threshold": threshold,
        "intercept": model.intercept,
        "features": ordered(others),
        "words": ordered(words),
    }


def write_model(path: Path, about: dict[str, Any], models: dict[str, Any]) -> None:
    """Writes one coefficient file: what it was fitted on, with which figures, and the weights."""
    path.write_text(
        json.dumps({"about": about, "models": models}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Fits both files and writes the report."""
    parser = argparse.ArgumentParser(description="Fit the topic classifiers and write docs/topics-report.md")
    parser.add_argument("--data", type=Path, required=True, help="folder with the labelled questions")
    parser.add_argument("--report", type=Path, default=Path("docs/topics-report.md"))
    options = parser.parse_args(arguments)
    missing = [
        n for n in ("domain_questions.jsonl", "human_handoff.jsonl") if not (options.data / n).is_file()
    ]
    if missing:
        parser.error(f"{options.data} lacks {', '.join(missing)}")
    here = Path(__file__).parent
    models, rows, probabilities = fit_high_stakes(options.data)
    figures = fitting_report.high_stakes_figures(rows, probabilities, THRESHOLDS)
    about = {
        "fitted_on": "ExpertQA (MIT), banking77 (CC-BY 4.0), CLINC150 (CC-BY 3.0), everyday.toml",
        "cross_validated": figures.summary,
        "reading": "log-odds; words count their weight divided by the square root of the number of words",
    }
    write_model(here / "high_stakes_coefficients.json", about, models)
    handoff_models, handoff_rows, handoff_probabilities, patterns = fit_handoff(options.data)
    handoff = fitting_report.handoff_figures(handoff_rows, handoff_probabilities, patterns, HANDOFF_THRESHOLD)
    about = {
        "fitted_on": "human_handoff (financial-demo Apache-2.0, CLINC150 CC-BY 3.0)",
        "cross_validated": handoff.summary,
        "reading": "log-odds of clues that are present (1) or not (0)",
    }
    write_model(here / "handoff_coefficients.json", about, handoff_models)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(fitting_report.page(figures, handoff), encoding="utf-8")
    print(f"wrote {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
