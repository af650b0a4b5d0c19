"""What goes into a score and what comes out of it, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from services.confidence.calibration import Calibration


class Level(IntEnum):
    """Bands of the score, for people; numbers as in the contract."""

    VERY_LOW = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4

    @classmethod
    def of(cls, score: float) -> "Level":
        """The band of a score in 0..1."""
        if score >= 0.8:
            return cls.HIGH
        if score >= 0.6:
            return cls.MEDIUM
        return cls.LOW if score >= 0.2 else cls.VERY_LOW


@dataclass(frozen=True, slots=True)
class ScoreInputs:
    """A reply and what is known about how it came about.

    user_message, reply: the reply as the model wrote it, markers included. history, passages: texts;
    together with the message they are what a forged marker may have been copied from. samples: further
    replies of the same model to the same message. tokens, logprobs: the reply's tokens and their natural
    log probabilities, of one length. self_assessment: 0..1 where the caller knows it from elsewhere than
    the reply. marker_tag: with it only a marker that carries it is believed.
    """

    user_message: str
    reply: str
    history: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()
    self_assessment: float | None = None
    marker_tag: str = ""
    high_stakes_terms: tuple[str, ...] = ()
    calibration: Calibration | None = None


class Signal(NamedTuple):
    """One reason for the score; contribution = weight x (value - neutral), in log-odds.

    statement: which sentence the reason is; parameters: what stands in it, by name.
    """

    name: str
    available: bool
    value: float
    weight: float
    contribution: float
    reason: str
    statement: str = ""
    parameters: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Score:
    """The probability that a reply is correct, and why.

    score, raw_score: 0..1, 6 decimals. base + sum of contributions = logit of the raw score before rounding.
    """

    score: float
    raw_score: float
    level: Level
    pattern: str
    base: float
    signals: tuple[Signal, ...]
    visible_reply: str
    calibration: Calibration
    scorer_version: str
    self_assessment: float | None = None
    high_stakes_terms: tuple[str, ...] = ()

    @property
    def high_stakes(self) -> bool:
        """Whether message or reply touch a high-stakes topic."""
        return bool(self.high_stakes_terms)


@dataclass(frozen=True)
class Figures:
    """What the fit of one pattern says of itself."""

    data_sets: tuple[str, ...] = ()
    rows: int = 0
    values: Mapping[str, float] = field(default_factory=dict)
