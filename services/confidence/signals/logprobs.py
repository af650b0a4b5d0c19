"""How probable the model found its own tokens.

Sources: sequence probability and perplexity as uncertainty (Malinin & Gales 2021; Fomicheva et al. 2020),
answer span (Kadavath et al. 2022). Some servers send zeros for every token: such lists are recognised and
ignored, and so are lists with impossible values.
"""

import math
import re
from collections.abc import Mapping, Sequence

from services.confidence.signals.reading import NOTHING, Reading, bounded

NAMES = ("sequence_probability", "reply_probability", "answer_probability")
# Above this many tokens the product says only how long a reply is.
_SHORT = 24
# Below exp(-6) improbable is improbable.
_FLOOR = -6.0
_LONG_FLOOR = -4.0
_ANSWER = re.compile(r"\b(?:final answer|answer)\b\W{0,4}(?:is\b)?\W{0,4}", re.IGNORECASE)
_LONGEST_ANSWER = 12


def usable(logprobs: Sequence[float]) -> bool:
    """Whether the values can be true: finite, none above 0, and not all the same zero."""
    return bool(logprobs) and all(-1e9 < value <= 0.0 for value in logprobs) and min(logprobs) < -1e-6


def span_of(tokens: Sequence[str], shown: str) -> tuple[int, int]:
    """First and last (exclusive) token of the shown reply: the marker and the reasoning are not the answer.

    All tokens where the shown text does not stand in one piece in them.
    """
    text = "".join(tokens)
    start = text.rfind(shown)
    if start < 0 or not shown or len(shown) == len(text):
        return 0, len(tokens)
    end = start + len(shown)
    first, last, position = 0, len(tokens), 0
    for index, token in enumerate(tokens):
        if position <= start:
            first = index
        position += len(token)
        if position >= end:
            last = index + 1
            break
    return first, last


def _scaled(logprob: float) -> float:
    return bounded(1.0 + max(logprob, _FLOOR) / -_FLOOR)


def reply_probability(mean: float, count: int) -> float:
    """How likely all words of a reply are together, 0..1, from their mean log probability and their number.

    Doubt adds up over a long reply, but not in full: neighbouring words repeat it, hence the square root. Up
    to 24 words only the mean counts.
    """
    return bounded(1.0 + mean * math.sqrt(max(count, _SHORT)) / -_LONG_FLOOR)


def _is_word(token: str) -> bool:
    return token.strip().isalnum() or any(map(str.isalnum, token))


def _answer_span(tokens: Sequence[str]) -> tuple[int, int]:
    """Where the answer proper stands: after the last "Answer:" within reach of the end, else everything."""
    text = "".join(tokens)
    last = None
    for match in _ANSWER.finditer(text):
        last = match.end()
    if last is None:
        return 0, len(tokens)
    position = 0
    for index, token in enumerate(tokens):
        position += len(token)
        if position > last:
            return (index, len(tokens)) if len(tokens) - index <= _LONGEST_ANSWER else (0, len(tokens))
    return 0, len(tokens)


def read(tokens: Sequence[str], logprobs: Sequence[float]) -> list[Reading]:
    """Signals of the family for usable log probabilities (natural logarithms, one a token)."""
    worded = [value for token, value in zip(tokens, logprobs, strict=True) if _is_word(token)]
    values = worded or list(logprobs)
    mean = sum(values) / len(values)
    start, end = _answer_span(tokens)
    answer = [logprobs[at] for at in range(start, end) if _is_word(tokens[at])] or values
    sequence = sum(answer) if len(answer) <= _SHORT else mean * _SHORT
    return [
        Reading(
            "sequence_probability",
            _scaled(sequence),
            *_probable("whole", sequence),
        ),
        Reading(
            "reply_probability",
            reply_probability(mean, len(values)),
            *_probable("words", mean),
        ),
        Reading(
            "answer_probability",
            bounded(math.exp(min(answer))),
            *_probable("weakest", min(answer)),
        ),
    ]


def _probable(what: str, logprob: float) -> tuple[str, Mapping[str, str]]:
    share = 100.0 * math.exp(max(logprob, -50.0))
    if share < 1.0:
        return f"{what}_improbable", NOTHING
    return f"{what}_probability", {"percent": f"{share:.0f}"}
