"""What another policy would have done with the same turns; pure: it asks the one decision table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.escalation.insights.estimates import Estimate, estimate
from services.escalation.policy import Action, Policy, Reason, TurnFacts, decide

# With fewer verdicts an estimate says next to nothing.
FEW_VERDICTS: Final = 30


@dataclass(frozen=True, slots=True)
class ScoredTurn:
    """One turn as it was: facts, what was done, and what a person said of the reply.

    `before` is NONE where it is not known. `given_up`: nobody could finish it, so no policy changes it.
    `correct` is None where nobody said; `weight` the inverse of the chance to be judged (0: unknown, such a
    verdict counts for nothing); `audited`: it belongs to a uniform sample of what was sent, drawn at a rate
    of 1 / `audit_weight`. `floor`: the immediate threshold that was in force.
    """

    turn_id: str
    facts: TurnFacts
    before: Action = Action.NONE
    conversation_id: str = ""
    given_up: bool = False
    correct: bool | None = None
    weight: float = 1.0
    audited: bool = False
    audit_weight: float = 1.0
    floor: float = 0.0

    @property
    def judged(self) -> bool:
        """Whether there is a verdict that counts."""
        return self.correct is not None and self.weight > 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A turn whose action would be another one."""

    turn: ScoredTurn
    before: Action
    after: Action

    @property
    def severity(self) -> int:
        """By how many steps the action would move, either way."""
        return abs(self.after.severity - self.before.severity)


@dataclass(frozen=True, slots=True)
class Simulation:
    """Turns by action as they were and as they would be, and the error among the replies sent on their own.

    `changed`: the greatest change first, then the lowest score. Estimates are None without verdicts.
    """

    turns: int
    before: Mapping[Action, int]
    after: Mapping[Action, int]
    changed: Sequence[Change]
    error_before: Estimate | None
    error_after: Estimate | None
    notes: Sequence[str]


def simulate(turns: Sequence[ScoredTurn], policy: Policy, today: Policy) -> Simulation:
    """Decide these turns by `policy`. Where it is not known what was done, `today` says it."""
    changes = []
    for turn in turns:
        before = turn.before if turn.before is not Action.NONE else action_of(turn, today)
        changes.append(Change(turn, before, action_of(turn, policy)))
    changed = [change for change in changes if change.before is not change.after]
    changed.sort(key=lambda change: (-change.severity, _score(change.turn), change.turn.turn_id))
    before_judged = [change.turn for change in changes if _sent(change.before) and change.turn.judged]
    after_judged = [change.turn for change in changes if _sent(change.after) and change.turn.judged]
    return Simulation(
        turns=len(changes),
        before=Counter(change.before for change in changes),
        after=Counter(change.after for change in changes),
        changed=changed,
        error_before=_estimate(before_judged),
        error_after=_estimate(after_judged),
        notes=_notes(turns, after_judged, policy, today),
    )


def action_of(turn: ScoredTurn, policy: Policy) -> Action:
    """What the policy does with a turn."""
    return Action.IMMEDIATE_ESCALATION if turn.given_up else decide(turn.facts, policy).action


def facts_of(
    reason: str,
    recorded: Mapping[str, object] | None,
    *,
    urgent: bool,
    high_stakes: bool,
    score: float | None,
) -> TurnFacts:
    """The facts of a stored turn. One that was decided before any draft kept none: its reason tells them."""
    if recorded is not None:
        known = {name: value for name, value in recorded.items() if name in TurnFacts.__slots__}
        return TurnFacts(**known)  # type: ignore[arg-type] # names of its fields
    return TurnFacts(
        score=score,
        high_stakes=high_stakes,
        urgent=urgent,
        keyword=reason == Reason.KEYWORD,
        customer_request=reason == Reason.CUSTOMER_REQUEST,
        frustrated=reason == Reason.FRUSTRATION,
        no_reply=reason == Reason.NO_REPLY,
        unsupported_message=reason == Reason.UNSUPPORTED_MESSAGE,
    )


def _sent(action: Action) -> bool:
    return action not in (Action.NONE, Action.IMMEDIATE_ESCALATION)


def _score(turn: ScoredTurn) -> float:
    return -1.0 if turn.facts.score is None else turn.facts.score


def _estimate(turns: Sequence[ScoredTurn]) -> Estimate | None:
    return estimate((not turn.correct, turn.weight) for turn in turns)


def _notes(
    turns: Sequence[ScoredTurn], judged: Sequence[ScoredTurn], policy: Policy, today: Policy
) -> list[str]:
    notes = []
    if not policy.enabled:
        notes.append("This policy is switched off: every usable draft goes out unscored.")
    if not judged:
        notes.append("Nobody has judged any of the replies that would be sent: their error is not known.")
    elif len(judged) < FEW_VERDICTS:
        notes.append(f"{_many(len(judged), 'verdict')}: too few for an estimate to be relied on.")
    if chosen := sum(not turn.audited for turn in judged):
        notes.append(
            f"{chosen} of {_many(len(judged), 'verdict')} were not drawn at random: people look at what seems"
            " doubtful, so the true error may be another one."
        )
    if unknown := sum(turn.before is Action.NONE for turn in turns):
        notes.append(
            f"What was done with {_many(unknown, 'turn')} is not known; it is taken as what the tenant's"
            f" policy of today (version {today.version}) does."
        )
    if policy.enabled and (unscored := sum(_unscored(turn) for turn in turns)):
        notes.append(f"{_many(unscored, 'turn')} had no score and are decided without one.")
    return notes


def _unscored(turn: ScoredTurn) -> bool:
    facts = turn.facts
    asked = facts.keyword or facts.customer_request or facts.frustrated
    return not (
        facts.score is not None or asked or facts.unsupported_message or facts.no_reply or turn.given_up
    )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
