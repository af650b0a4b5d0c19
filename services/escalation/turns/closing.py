"""What becomes of a turn once it is decided: what the customer gets, what a person finds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.escalation.policy import Action, Decision

AI_AGENT: Final = "ai_agent"
SYSTEM: Final = "system"
HANDOFF_REQUESTED: Final = "human_handoff.requested"
REVIEW_SUGGESTED: Final = "human_review.suggested"
RECEIVED_WHILE_HELD: Final = "message.received_while_held"
TURN_FAILED: Final = "turn.failed"
DECISION_SHADOWED: Final = "decision.shadowed"
HANDOFF_TOLD: Final = "handoff"


@dataclass(frozen=True, slots=True)
class Texts:
    """A tenant's fixed texts; an empty one means: send nothing. `by_reason` stands before `handoff`.

    `told` says which text stands as `handoff` (another one while nobody works), `email_asked` whether it asks
    for an e-mail address, `email_received` what is said to one.
    """

    handoff: str
    unavailable: str
    disclaimer: str
    by_reason: Mapping[str, str] = field(default_factory=dict)
    told: str = HANDOFF_TOLD
    email_asked: bool = False
    email_received: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """What is written when a turn ends.

    `reply` is what the customer gets (empty: nothing), from `source`; `withheld` the draft that is kept
    for the agent; `hands_over` whether a handoff is opened; `event` the type of the event that tells of
    it (empty: none); `told` and `email_asked` are kept with the handoff (see Texts).
    """

    decision: Decision
    reply: str
    source: str
    withheld: str
    hands_over: bool
    event: str
    told: str = ""
    email_asked: bool = False

    @property
    def notice(self) -> bool:
        """Whether the reply is a fixed text and no answer."""
        return self.source == SYSTEM


def close(
    decision: Decision, draft: str, texts: Texts, *, handoff_enabled: bool, disclaimers: bool
) -> Closing:
    """The end of a turn with this decision. `draft`: the visible reply, empty where there is none."""
    match decision.action:
        case Action.NONE:
            return Closing(decision, "", AI_AGENT, draft, hands_over=False, event=RECEIVED_WHILE_HELD)
        case Action.IMMEDIATE_ESCALATION:
            reply = texts.unavailable
            if handoff_enabled:
                reply = texts.by_reason.get(str(decision.reason), texts.handoff)
            said = handoff_enabled and bool(reply)
            return Closing(
                decision,
                reply,
                SYSTEM,
                draft,
                hands_over=handoff_enabled,
                event=HANDOFF_REQUESTED,
                told=texts.told if said else "",
                email_asked=texts.email_asked and said,
            )
        case Action.SUGGEST_REVIEW:
            reply = _with(draft, texts.disclaimer) if disclaimers else draft
            return Closing(decision, reply, AI_AGENT, "", hands_over=False, event=REVIEW_SUGGESTED)
        case Action.SEND_WITH_DISCLAIMER:
            reply = _with(draft, texts.disclaimer)
            return Closing(decision, reply, AI_AGENT, "", hands_over=False, event="")
        case Action.CONTINUE:
            spared = decision.shadow_action.severity > Action.CONTINUE.severity
            event = DECISION_SHADOWED if spared else ""
            return Closing(decision, draft, AI_AGENT, "", hands_over=False, event=event)


def event_data(
    decision: Decision,
    *,
    message_id: str,
    signals: Sequence[Mapping[str, Any]] = (),
    scorer_version: str = "",
    **more: Any,
) -> dict[str, Any]:
    """The data of an event about a decision, under the JSON names that operators query.

    What does not exist is left out: a score that was never computed is no 0.
    """
    data: dict[str, Any] = {
        "reason": str(decision.reason),
        "action": str(decision.action),
        "messageId": message_id,
        "thresholds": {"immediate": decision.thresholds.immediate, "review": decision.thresholds.review},
        "mode": str(decision.mode),
        "highStakes": decision.high_stakes,
        "policyVersion": decision.policy_version,
        "signals": [dict(signal) for signal in signals],
    }
    if decision.score is not None:
        data["confidenceScore"] = decision.score
        data["confidenceLevel"] = str(decision.level)
    if decision.shadow_action:
        data["shadowAction"] = str(decision.shadow_action)
        data["shadowReason"] = str(decision.shadow_reason)
    if scorer_version:
        data["scorerVersion"] = scorer_version
    data.update({name: value for name, value in more.items() if value not in ("", None)})
    return data


def _with(reply: str, disclaimer: str) -> str:
    return f"{reply}\n\n{disclaimer}" if reply and disclaimer else reply
