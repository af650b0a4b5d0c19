"""The decision table: what is done with a reply, and why. Pure; every door and every simulation asks here.

First match wins. Three laws hold and are tested: raising the score never makes the action more severe,
raising a threshold never makes it less severe, and neither does a high-stakes topic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final


class Action(StrEnum):
    """What happens to the reply; NONE where a person holds the conversation."""

    NONE = ""
    CONTINUE = "CONTINUE"
    SEND_WITH_DISCLAIMER = "SEND_WITH_DISCLAIMER"
    SUGGEST_REVIEW = "SUGGEST_REVIEW"
    IMMEDIATE_ESCALATION = "IMMEDIATE_ESCALATION"

    @property
    def severity(self) -> int:
        """0 (nothing decided) to 4 (IMMEDIATE_ESCALATION)."""
        return _SEVERITY[self]


_SEVERITY: Final = {action: severity for severity, action in enumerate(Action)}


class Reason(StrEnum):
    """Why, as a code that callers, dashboards and SQL depend on."""

    NONE = ""
    CUSTOMER_REQUEST = "customer_request"
    KEYWORD = "keyword"
    FRUSTRATION = "frustration"
    NO_REPLY = "no_reply"
    UNSUPPORTED_MESSAGE = "unsupported_message"
    SCORING_UNAVAILABLE = "scoring_unavailable"
    LOW_CONFIDENCE = "low_confidence"
    HIGH_STAKES = "high_stakes"
    MEDIUM_CONFIDENCE = "medium_confidence"
    PROCESSING_FAILED = "processing_failed"


# Not about how good a draft is: carried out under a policy that is not in force, too.
_ALWAYS: Final = frozenset(
    {Reason.CUSTOMER_REQUEST, Reason.KEYWORD, Reason.NO_REPLY, Reason.UNSUPPORTED_MESSAGE}
)


class Mode(StrEnum):
    """How strict a tenant is."""

    LENIENT = "LENIENT"
    STANDARD = "STANDARD"
    STRICT = "STRICT"


class WithoutScore(Enum):
    """What to do where no score can be had; BY_RISK escalates in mode STRICT and on high-stakes topics."""

    BY_RISK = "by_risk"
    REVIEW = "review"
    ESCALATE = "escalate"


class Level(StrEnum):
    """Bands of the score, for people."""

    VERY_LOW = "VERY_LOW"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


HIGH_SCORE: Final = 0.80
_LEVELS: Final = ((HIGH_SCORE, Level.HIGH), (0.60, Level.MEDIUM), (0.20, Level.LOW))


def level_of(score: float) -> Level:
    """The band of a score 0..1."""
    return next((level for bound, level in _LEVELS if score >= bound), Level.VERY_LOW)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Below `immediate` a person takes over, below `review` one has a look. 0 <= immediate <= review <= 1."""

    immediate: float
    review: float


MODE_THRESHOLDS: Final[Mapping[Mode, Thresholds]] = MappingProxyType(
    {
        Mode.LENIENT: Thresholds(0.20, 0.40),
        Mode.STANDARD: Thresholds(0.30, 0.60),
        Mode.STRICT: Thresholds(0.50, 0.75),
    }
)
HIGH_STAKES_THRESHOLDS: Final[Mapping[Mode, Thresholds]] = MappingProxyType(
    {
        Mode.LENIENT: Thresholds(0.30, 0.60),
        Mode.STANDARD: Thresholds(0.50, 0.75),
        Mode.STRICT: Thresholds(0.60, 0.85),
    }
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a tenant decides by. `immediate` and `review` (0..1) override the mode's thresholds."""

    mode: Mode = Mode.STANDARD
    enabled: bool = True
    immediate: float | None = None
    review: float | None = None
    add_disclaimers: bool = True
    without_score: WithoutScore = WithoutScore.BY_RISK
    # Decisions on drafts are made and not carried out.
    shadow: bool = False
    version: int = 0

    def thresholds(self, *, high_stakes: bool) -> Thresholds:
        """The pair in force; high stakes never put it below an override, and it is always in order."""
        normal = MODE_THRESHOLDS[self.mode]
        immediate = normal.immediate if self.immediate is None else self.immediate
        review = normal.review if self.review is None else self.review
        if high_stakes:
            strict = HIGH_STAKES_THRESHOLDS[self.mode]
            immediate, review = max(immediate, strict.immediate), max(review, strict.review)
        return Thresholds(immediate, max(immediate, review))

    def out_of_order(self) -> Thresholds | None:
        """The tenant's pair where its immediate threshold is above its review threshold, else None."""
        normal = MODE_THRESHOLDS[self.mode]
        immediate = normal.immediate if self.immediate is None else self.immediate
        review = normal.review if self.review is None else self.review
        return Thresholds(immediate, review) if immediate > review else None


@dataclass(frozen=True, slots=True)
class TurnFacts:
    """What is known of a turn. `score` (0..1) is None where none could be had."""

    score: float | None = None
    high_stakes: bool = False
    urgent: bool = False
    customer_request: bool = False
    keyword: bool = False
    frustrated: bool = False
    no_reply: bool = False
    unsupported_message: bool = False
    held_by_person: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and all that explains it. `score` and `level` are None where no score took part."""

    action: Action
    reason: Reason
    enabled: bool
    score: float | None
    level: Level | None
    thresholds: Thresholds
    mode: Mode
    high_stakes: bool
    policy_version: int
    # What would have been done under a policy that is not in force; NONE where it is.
    shadow_action: Action = Action.NONE
    shadow_reason: Reason = Reason.NONE

    @property
    def escalated(self) -> bool:
        """True exactly for IMMEDIATE_ESCALATION."""
        return self.action is Action.IMMEDIATE_ESCALATION


def decide(facts: TurnFacts, policy: Policy) -> Decision:
    """The decision for these facts; total, and it depends on nothing else."""
    action, reason, scored = _row(facts, policy)
    score = facts.score if scored else None
    shadow_action, shadow_reason = Action.NONE, Reason.NONE
    if policy.shadow and policy.enabled and action is not Action.NONE and reason not in _ALWAYS:
        shadow_action, shadow_reason = action, reason
        action, reason = Action.CONTINUE, Reason.NONE
    return Decision(
        action=action,
        reason=reason,
        enabled=policy.enabled,
        score=score,
        level=None if score is None else level_of(score),
        thresholds=policy.thresholds(high_stakes=facts.high_stakes),
        mode=policy.mode,
        high_stakes=facts.high_stakes,
        policy_version=policy.version,
        shadow_action=shadow_action,
        shadow_reason=shadow_reason,
    )


def failed(policy: Policy) -> Decision:
    """The decision for a turn that is given up: a person takes over."""
    return Decision(
        action=Action.IMMEDIATE_ESCALATION,
        reason=Reason.PROCESSING_FAILED,
        enabled=policy.enabled,
        score=None,
        level=None,
        thresholds=policy.thresholds(high_stakes=False),
        mode=policy.mode,
        high_stakes=False,
        policy_version=policy.version,
    )


def _row(facts: TurnFacts, policy: Policy) -> tuple[Action, Reason, bool]:
    """Action, reason, and whether the score took part: the rows of the table in their order."""
    if facts.held_by_person:
        return Action.NONE, Reason.NONE, False
    if facts.keyword:
        return Action.IMMEDIATE_ESCALATION, Reason.KEYWORD, False
    if facts.customer_request:
        return Action.IMMEDIATE_ESCALATION, Reason.CUSTOMER_REQUEST, False
    if facts.frustrated:
        return Action.IMMEDIATE_ESCALATION, Reason.FRUSTRATION, False
    if facts.unsupported_message:
        return Action.IMMEDIATE_ESCALATION, Reason.UNSUPPORTED_MESSAGE, False
    if facts.no_reply:
        return Action.IMMEDIATE_ESCALATION, Reason.NO_REPLY, False
    if not policy.enabled:
        return Action.CONTINUE, Reason.NONE, False
    if facts.score is None:
        return _without_score(facts, policy), Reason.SCORING_UNAVAILABLE, False
    return *_by_score(facts.score, facts, policy), True


def _without_score(facts: TurnFacts, policy: Policy) -> Action:
    risky = policy.mode is Mode.STRICT or facts.high_stakes
    if policy.without_score is WithoutScore.ESCALATE:
        return Action.IMMEDIATE_ESCALATION
    if policy.without_score is WithoutScore.BY_RISK and risky:
        return Action.IMMEDIATE_ESCALATION
    return Action.SUGGEST_REVIEW


def _by_score(score: float, facts: TurnFacts, policy: Policy) -> tuple[Action, Reason]:
    limits = policy.thresholds(high_stakes=facts.high_stakes)
    normal = policy.thresholds(high_stakes=False)
    if score < limits.immediate:
        made = score >= normal.immediate  # only the high-stakes pair makes the difference
        return Action.IMMEDIATE_ESCALATION, Reason.HIGH_STAKES if made else Reason.LOW_CONFIDENCE
    if score < limits.review:
        made = score >= normal.review
        action = Action.SEND_WITH_DISCLAIMER if facts.urgent else Action.SUGGEST_REVIEW
        return action, Reason.HIGH_STAKES if made else Reason.LOW_CONFIDENCE
    if score < HIGH_SCORE and policy.add_disclaimers:
        return Action.SEND_WITH_DISCLAIMER, Reason.MEDIUM_CONFIDENCE
    return Action.CONTINUE, Reason.NONE
