"""What one signal says about one reply."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from services.confidence.signals.statements import STATEMENTS

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Reading(NamedTuple):
    """One signal's value in 0..1, higher speaking for the reply, and what explains it to a person: the name
    of a sentence (signals/statements.py) and the values in it.
    """

    name: str
    value: float
    statement: str
    parameters: Mapping[str, str] = NOTHING

    @property
    def reason(self) -> str:
        """The sentence."""
        return sentence(self.statement, self.parameters)


def sentence(statement: str, parameters: Mapping[str, str] = NOTHING) -> str:
    """A statement in words, "" for none. Raises KeyError for one that does not exist or lacks a value."""
    if not statement:
        return ""
    text = STATEMENTS[statement]
    return text.format_map(parameters) if parameters else text


def bounded(value: float) -> float:
    """Value moved into 0..1; not-a-number becomes 0, because nothing is known in the reply's favour."""
    return 0.0 if not value > 0.0 else min(value, 1.0)
