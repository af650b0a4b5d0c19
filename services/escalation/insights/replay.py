"""A recorded decision made once more, and what makes today's another one; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.escalation import policy_reading
from services.escalation.insights.simulation import facts_of
from services.escalation.policy import Decision, Mode, Policy, Reason, TurnFacts, decide, failed

_RULES: Final = {
    "mode": "mode",
    "enabled": "escalation",
    "immediate": "immediate threshold",
    "review": "review threshold",
    "add_disclaimers": "disclaimers",
    "without_score": "without a score",
    "shadow": "shadow",
}
_FACTS: Final = {
    "keyword": "a keyword of the tenant in the message",
    "customer_request": "a wish for a person in the message",
    "frustrated": "frustration",
    "urgent": "urgency",
    "high_stakes": "a high-stakes topic",
    "no_reply": "no usable draft",
    "unsupported_message": "no text in the message",
    "held_by_person": "a person has the conversation",
}


@dataclass(frozen=True, slots=True)
class Basis:
    """What a decision is made on and by, with the versions behind its score."""

    facts: TurnFacts
    policy: Policy
    given_up: bool = False
    scorer: str = ""
    calibration: str = ""

    def decision(self) -> Decision:
        """What comes out of it."""
        return failed(self.policy) if self.given_up else decide(self.facts, self.policy)


def recorded_basis(turn: Mapping[str, Any]) -> Basis | None:
    """What the decision of a turn (a row of `turns`) was made on; None where nothing was decided."""
    if not turn["action"]:
        return None
    return Basis(
        facts=facts_of(
            turn["reason"],
            turn["facts"],
            urgent=turn["urgent"],
            high_stakes=turn["high_stakes"],
            score=turn["score"],
        ),
        policy=_policy(turn),
        given_up=turn["reason"] == Reason.PROCESSING_FAILED,
        scorer=turn["scorer_version"],
        calibration=turn["calibration_version"],
    )


def unlike(recorded: Decision, replayed: Decision) -> list[str]:
    """What the decision table makes of the same today, where that is not what was recorded."""
    return [
        f"the decision table of this release: {label} {before} → {after}"
        for label, before, after in (
            ("action", str(recorded.action), str(replayed.action)),
            ("reason", str(recorded.reason) or "none", str(replayed.reason) or "none"),
            (
                "immediate threshold",
                _number(recorded.thresholds.immediate),
                _number(replayed.thresholds.immediate),
            ),
            ("review threshold", _number(recorded.thresholds.review), _number(replayed.thresholds.review)),
        )
        if before != after
    ]


def differences(then: Basis, today: Basis) -> list[str]:
    """What has changed since, a sentence each, and which change makes the action another one."""
    rules = _changed_rules(then.policy, today.policy)
    facts = _changed_facts(then, today)
    sentences = [*rules, *facts]
    before, after = then.decision(), today.decision()
    if before.action is after.action:
        return sentences
    sentences.append(
        f"action {before.action} → {after.action}" + (f" ({after.reason})" if after.reason else "")
    )
    if rules and facts:
        by_policy = Basis(then.facts, today.policy, then.given_up).decision().action
        by_facts = Basis(today.facts, then.policy, today.given_up).decision().action
        sentences.append(
            f"by the settings alone it would be {by_policy}, by the score and topics alone {by_facts}"
        )
    return sentences


def _policy(turn: Mapping[str, Any]) -> Policy:
    if turn["policy"]:
        return policy_reading.from_record(turn["policy"])
    # A message that was given up before it was recorded kept the outcome only.
    return Policy(
        mode=Mode(turn["mode"]),
        enabled=turn["enabled"],
        immediate=turn["threshold_immediate"],
        review=turn["threshold_review"],
        version=turn["policy_version"],
    )


def _changed_rules(then: Policy, today: Policy) -> list[str]:
    changed = [
        f"{label} {_word(getattr(then, name))} → {_word(getattr(today, name))}"
        for name, label in _RULES.items()
        if getattr(then, name) != getattr(today, name)
    ]
    return [f"policy {then.version} → {today.version}: {', '.join(changed)}"] if changed else []


def _changed_facts(then: Basis, today: Basis) -> list[str]:
    sentences = []
    versions = [
        f"{label} {before or 'none'} → {after or 'none'}"
        for label, before, after in (
            ("scorer", then.scorer, today.scorer),
            ("calibration", then.calibration, today.calibration),
        )
        if before != after
    ]
    if then.facts.score != today.facts.score:
        score = f"score {_number(then.facts.score)} → {_number(today.facts.score)}"
        sentences.append(f"{', '.join(versions)}: {score}" if versions else score)
    elif versions:
        sentences.append(f"{', '.join(versions)}: the same score")
    for name, label in _FACTS.items():
        before, after = getattr(then.facts, name), getattr(today.facts, name)
        if before != after:
            sentences.append(f"{label}: {'seen now' if after else 'no longer seen'}")
    return sentences


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _word(value: object) -> str:
    if value is None:
        return "of the mode"
    if isinstance(value, bool):
        return "on" if value else "off"
    return _number(value) if isinstance(value, float) else str(getattr(value, "value", value))
