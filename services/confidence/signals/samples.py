"""Whether further replies of the same model say the same.

Sources: self-consistency (Wang et al. 2023), lexical similarity (Fomicheva et al. 2020), groups of answers of
one meaning (Kuhn et al. 2023) with lexical clusters. The words of the question are left out first: what
remains is the core of an answer, and cores are what agrees or not. Multiple-choice letters, true/false and
final numbers are compared as such.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.confidence.signals.options import offered, settled
from services.confidence.signals.reading import NOTHING, Reading, bounded
from services.confidence.words import Words

NAMES = ("sample_agreement", "sample_clusters", "option_vote")
# Three give nearly all of it; more than ten only cost.
MOST_SAMPLES = 10
_SAME = 0.5


def core(text: Words, question: Words) -> frozenset[str]:
    """What an answer says beyond the question: content words, else all words that the question does not
    hold.
    """
    said = text.content - question.content
    return said or frozenset(text.tokens) - frozenset(question.tokens) or frozenset(text.tokens)


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Overlap of two cores, 0..1: Dice, but a short core inside a long one counts as the same answer."""
    if not one or not other:
        return 0.0
    common = len(one & other)
    if not common:
        return 0.0
    shorter = min(len(one), len(other))
    dice = 2.0 * common / (len(one) + len(other))
    return max(dice, 0.9 * common / shorter) if shorter <= 4 else dice


class _Answer(NamedTuple):
    core: frozenset[str]
    option: str | None

    def like(self, other: "_Answer") -> float:
        """1 or 0 where both settle on an option, else the overlap of what they say."""
        if self.option is not None and other.option is not None:
            return float(self.option == other.option)
        return similarity(self.core, other.core)


def _clusters(answers: Sequence[_Answer]) -> list[int]:
    """Cluster number of each answer, greedy in their order."""
    heads: list[_Answer] = []
    labels: list[int] = []
    for answer in answers:
        for label, head in enumerate(heads):
            if answer.like(head) >= _SAME:
                labels.append(label)
                break
        else:
            labels.append(len(heads))
            heads.append(answer)
    return labels


def _answers(question: Words, reply: Words, samples: Sequence[Words]) -> list[_Answer]:
    """The reply and the samples as answers; options count only where the reply settles on one."""
    choices = offered(question.text)
    chosen = settled(reply.text, choices)
    return [
        _Answer(core(reply, question), chosen),
        *(
            _Answer(core(sample, question), settled(sample.text, choices) if chosen is not None else None)
            for sample in samples
        ),
    ]


def negentropy(question: Words, reply: Words, samples: Sequence[Words]) -> float:
    """1 - normalised entropy of the groups of the reply and at least one sample (Kuhn et al. 2023)."""
    labels = _clusters(_answers(question, reply, samples))
    counts = [labels.count(label) for label in set(labels)]
    entropy = -sum(count / len(labels) * math.log(count / len(labels)) for count in counts)
    return bounded(1.0 - entropy / math.log(len(labels)))


def read(question: Words, reply: Words, samples: Sequence[Words]) -> list[Reading]:
    """Signals of the family for a visible reply and at least one sample (the first ten are looked at)."""
    answers = _answers(question, reply, samples[:MOST_SAMPLES])
    answer, others = answers[0], answers[1:]
    agreement = sum(similarity(answer.core, other.core) for other in others) / len(others)
    labels = _clusters(answers)
    apart = sum(label != labels[0] for label in labels)
    return [
        Reading(
            "sample_agreement",
            bounded(agreement),
            "overlap",
            {"percent": f"{100 * agreement:.0f}"},
        ),
        Reading("sample_clusters", 1.0 - apart / len(others), *_disagreement(apart, len(others))),
        _vote(answer, others, agreement),
    ]


def _vote(answer: _Answer, others: Sequence[_Answer], agreement: float) -> Reading:
    voting = [other.option for other in others if other.option is not None]
    if answer.option is None or not voting:
        # Without options the answers' overlap is the vote; saying nothing would favour replies without
        # options.
        return Reading("option_vote", bounded(agreement), "no_options")
    same = sum(option == answer.option for option in voting)
    return Reading(
        "option_vote",
        same / len(voting),
        "same_option",
        {"count": str(same), "total": str(len(voting))},
    )


def _disagreement(others: int, samples: int) -> tuple[str, Mapping[str, str]]:
    if samples == 1:
        return ("one_disagrees" if others else "one_agrees"), NOTHING
    if not others:
        return "all_agree", {"count": str(samples)}
    return "some_disagree", {"count": str(others), "total": str(samples)}
