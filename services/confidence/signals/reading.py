"""What one signal says about one reply."""

from typing import NamedTuple


class Reading(NamedTuple):
    """One signal's value in 0..1, higher speaking for the reply, and the sentence that explains it to a
    person.
    """

    name: str
    value: float
    reason: str


def bounded(value: float) -> float:
    """Value moved into 0..1; not-a-number becomes 0, because nothing is known in the reply's favour."""
    return 0.0 if not value > 0.0 else min(value, 1.0)
