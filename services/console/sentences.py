"""What a signal says, as a sentence in the language of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metachat.confidence.v1.confidence_pb2 import Signal

from services.console.frame import Words
from services.console.numbers import number
from services.console.texts import Texts
from services.console.visit import Visit

# Values that are numbers; all others are words, and stand as they are.
_NUMBERS: Final = frozenset({"count", "total", "percent"})
_MOST_DIGITS: Final = 15


def sentence(texts: Texts, statement: str, parameters: Mapping[str, str]) -> str:
    """The sentence of that name with its values; "" for one that is not known here or lacks a value."""
    key = f"signals.{statement}"
    if not statement or key not in texts:
        return ""
    values: dict[str, str] = dict(parameters)
    for name in _NUMBERS & values.keys():
        if not values[name].isdecimal() or len(values[name]) > _MOST_DIGITS:
            return ""
        values[name] = number(int(values[name]), texts.language)
    try:
        return texts.form(key, int(parameters.get("count", 0))).format_map(values)
    except KeyError:
        return ""


def signal_sentence(visit: Visit, signal: Signal, tag: str = "span") -> Words:
    """The signal's sentence; where this console knows none of that name, the server's own, in English."""
    text = sentence(visit.texts, signal.statement, signal.parameters)
    words = Words(tag, text or signal.reason)
    if not text:
        words.props("lang=en")
    return words
