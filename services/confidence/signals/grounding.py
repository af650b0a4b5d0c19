"""Whether the retrieved passages carry the reply, and whether they are about the question at all.

Sources: lexical entailment baselines of SummaC and Q-squared (Laban et al. 2022; Honovich et al. 2021):
share of new content words found in the passages, neighbouring pairs, weakest sentence, numbers. Lexical
grounding alone would praise a faithful quotation of the wrong page; that is what relevance.py is for.
"""

from collections.abc import Sequence

from services.confidence.signals import relevance
from services.confidence.signals.reading import Reading
from services.confidence.words import Words, content_stems, tokens

_SHORT_SENTENCE = 3
# Where two quoted sentences meet, one pair of words stands in no passage.
_QUOTED = 0.8


def _best_passage(reply: Words, passages: Sequence[Words]) -> Words:
    return max(passages, key=lambda passage: len(reply.content & passage.content))


def read(question: Words, reply: Words, passages: Sequence[Words]) -> list[Reading]:
    """Signals of the family for a visible reply and at least one passage.

    All 0 where the reply has no content word, because nothing is then shown to be supported.
    """
    content = reply.content
    if not content:
        return [Reading(name, 0.0, "nothing_to_compare") for name in NAMES]
    unsupported_words, pairs, unknown = content, reply.pairs, reply.numbers - question.numbers
    for passage in passages:
        unsupported_words = unsupported_words - passage.content
        pairs = pairs - passage.pairs
        unknown = unknown - passage.numbers
    new = content - question.content or content
    missing = new & unsupported_words
    coverage = 1.0 - len(missing) / len(new)
    pair_share = 1.0 - len(pairs) / len(reply.pairs) if reply.pairs else coverage
    weakest, total, unsupported = _weakest_sentence(reply, unsupported_words - question.content)
    unknown_numbers = sorted(unknown)
    return [
        Reading(
            "grounding_coverage",
            coverage,
            "words_covered",
            {"count": str(len(new) - len(missing)), "total": str(len(new))},
        ),
        Reading("grounding_pairs", pair_share, "wording_follows", {"percent": f"{round(100 * pair_share)}"}),
        Reading(
            "grounding_weakest_sentence",
            weakest,
            "some_unsupported",
            {"count": str(unsupported), "total": str(total)},
        )
        if unsupported
        else Reading("grounding_weakest_sentence", weakest, "all_supported"),
        Reading("grounding_numbers", 0.0, "number_unsupported", {"number": unknown_numbers[0][:20]})
        if unknown_numbers
        else Reading("grounding_numbers", 1.0, "numbers_supported"),
        relevance.read(question, content, _best_passage(reply, passages).content, bool(reply.numbers)),
    ]


NAMES = (
    "grounding_coverage",
    "grounding_pairs",
    "grounding_weakest_sentence",
    "grounding_numbers",
    "relevance",
)


def quoted(readings: Sequence[Reading]) -> bool:
    """Whether the reply, by the readings of this family, is the passages' own wording and nothing else."""
    values = {reading.name: reading.value for reading in readings}
    return values["grounding_coverage"] == 1.0 and values["grounding_pairs"] >= _QUOTED


def _weakest_sentence(reply: Words, unknown: frozenset[str]) -> tuple[float, int, int]:
    """Lowest share of known words in a sentence, number of sentences, number of those that are half
    unknown.
    """
    if not unknown:
        return 1.0, 1, 0
    weakest, total, unsupported = 1.0, 0, 0
    for sentence in reply.sentences:
        words = set(content_stems(tokens(sentence)))
        if len(words) < _SHORT_SENTENCE:
            continue
        total += 1
        share = 1.0 - len(words & unknown) / len(words)
        weakest = min(weakest, share)
        unsupported += share < 0.5
    if not total:
        return 1.0 - len(unknown) / len(reply.content), 1, 0
    return weakest, total, unsupported
