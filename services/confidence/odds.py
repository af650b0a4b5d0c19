"""Probabilities and their log-odds, kept finite at the ends."""

import math


def probability(log_odds: float) -> float:
    """The probability that has these log-odds; any finite number is safe."""
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-min(log_odds, 700.0)))
    power = math.exp(max(log_odds, -700.0))
    return power / (1.0 + power)


def log_odds(value: float) -> float:
    """The log-odds of a probability, kept finite: certainty is cut at one in a million."""
    value = min(max(value, 1e-6), 1.0 - 1e-6)
    return math.log(value / (1.0 - value))
