"""Labelled replies from JSON lines, as inputs of the scorer, one view for each pattern that they can"
" serve."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.confidence.scoring import ScoreInputs
from services.confidence.signals import logprobs, relevance
from services.confidence.signals.samples import similarity
from services.confidence.words import Words, sentences

# Replies whose label says whether the answer is right (clapnq: whether its readers found it faithful).
TEXT_SETS = (
    "evouna_nq",
    "halueval_general",
    "lifeeval_boolq_verbalized",
    "gsm8k_solutions",
    "sac3_nq_samples",
    "triviaqa_llama13b_samples",
    "medmcqa_cot_samples",
    "clapnq_rag",
)
STATED_SETS = ("lifeeval_boolq_verbalized", "signals_mmlupro", "signals_lifeeval_lsat_sat")
SAMPLE_SETS = ("sac3_nq_samples", "triviaqa_llama13b_samples", "medmcqa_cot_samples")
PASSAGE_SETS = ("begin_wow", "clapnq_rag")
SAMPLES_USED = 5


class DataError(Exception):
    """The folder does not hold what the fit needs."""


@dataclass(frozen=True)
class Row:
    """One labelled reply. inputs: None where there is no text; extra: signal values known without it."""

    data_set: str
    group: str
    correct: bool
    inputs: ScoreInputs | None
    extra: dict[str, float] = field(default_factory=dict)
    model: str = ""


def load(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """All labelled files of a folder by name; raises DataError where none of them is there."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
        if rows and "label_correct" in rows[0]:
            found[path.stem] = rows
    missing = [name for name in {*TEXT_SETS, *STATED_SETS, *SAMPLE_SETS, *PASSAGE_SETS} if name not in found]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(sorted(missing))}")
    return found


def _row(name: str, raw: dict[str, Any], inputs: ScoreInputs | None, **extra: float) -> Row:
    return Row(name, raw["group"], bool(raw["label_correct"]), inputs, extra, raw.get("model", ""))


def _probabilities(raw: dict[str, Any]) -> dict[str, float]:
    """Signals of a row that gives one probability in place of the tokens: the mean, or the answer's."""
    if raw.get("mean_token_prob") is not None:
        mean = float(raw["mean_token_prob"])
        reply = logprobs.reply_probability(math.log(max(mean, 1e-9)), int(raw.get("response_tokens") or 0))
        return {"reply_probability": reply, "mean_token_probability": mean}
    if raw.get("answer_token_prob") is not None:
        return {"answer_probability": float(raw["answer_token_prob"])}
    return {}


def _sequence_from_samples(raw: dict[str, Any]) -> float:
    """Log probability of a short answer, estimated by how often the model gives it again word for word."""
    said = " ".join(Words(raw["response"]).tokens)
    same = sum(" ".join(Words(sample).tokens) == said for sample in raw["samples"])
    return math.log((same + 0.5) / (len(raw["samples"]) + 1.0))


def views(data: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, list[Row]]]:
    """Rows by family ("text", "stated", "logprobs", "samples", "passages") and data set."""
    made: dict[str, dict[str, list[Row]]] = {
        family: {} for family in ("text", "stated", "logprobs", "samples", "passages")
    }
    for name in TEXT_SETS:
        made["text"][name] = [
            _row(name, raw, ScoreInputs(raw["question"], raw["response"])) for raw in data[name]
        ]
    for name in STATED_SETS:
        made["stated"][name] = [
            _row(
                name,
                raw,
                ScoreInputs(raw["question"], raw["response"]) if "response" in raw else None,
                self_assessment=raw["verbalized_confidence"],
            )
            for raw in data[name]
            if raw.get("verbalized_confidence") is not None
        ]
        probable = [(raw, _probabilities(raw)) for raw in data[name]]
        if any(values for _, values in probable):
            made["logprobs"][name] = [
                _row(
                    name,
                    raw,
                    ScoreInputs(raw["question"], raw["response"]) if "response" in raw else None,
                    **values,
                    self_assessment=float(raw["verbalized_confidence"]),
                )
                for raw, values in probable
                if values
            ]
    name = "triviaqa_llama13b_samples"
    made["logprobs"][name] = [
        _row(
            name,
            raw,
            ScoreInputs(raw["question"], raw["response"]),
            sequence_probability=max(0.0, 1.0 + _sequence_from_samples(raw) / 6.0),
        )
        for raw in data[name]
    ]
    for name in SAMPLE_SETS:
        made["samples"][name] = [
            _row(
                name,
                raw,
                ScoreInputs(raw["question"], raw["response"], samples=tuple(raw["samples"][:SAMPLES_USED])),
            )
            for raw in data[name]
        ]
    for name in PASSAGE_SETS:
        made["passages"][name] = [
            _row(name, raw, ScoreInputs(raw["question"], raw["response"], passages=tuple(raw["context"])))
            for raw in data[name]
        ]
    return made


def wrong_pages(raws: Sequence[dict[str, Any]]) -> Iterator[Row]:
    """Faithful quotations that answer another question: wrong by construction, one for each question.

    The page is the most relevant of another question's pages, quoted are its two sentences nearest to the
    question: what a knowledge base without the answer offers.
    """
    pages = {raw["group"]: raw["context"][0] for raw in raws}
    words = {group: Words(page) for group, page in pages.items()}
    seen: set[str] = set()
    for raw in raws:
        group = raw["group"]
        if group in seen:
            continue
        seen.add(group)
        asked = Words(raw["question"])
        best = max(
            (other for other in pages if other != group),
            key=lambda other: (
                relevance.share(asked, words[other].content, frozenset(), False) or 0.0,
                _tie(group, other),
            ),
        )
        parts = sentences(pages[best])
        nearest = sorted(
            range(len(parts)), key=lambda at: -similarity(Words(parts[at]).content, asked.content)
        )[:2]
        quoted = " ".join(parts[at] for at in sorted(nearest))
        yield Row(
            "clapnq_rag",
            group,
            False,
            ScoreInputs(raw["question"], quoted, passages=(pages[best],)),
            model="wrong page",
        )


def _tie(one: str, other: str) -> str:
    return hashlib.sha256(f"{one}|{other}".encode()).hexdigest()
