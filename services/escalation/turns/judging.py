"""Judges a draft: has it scored, takes out of it what the customer must not see, and decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from metachat.confidence.v1.confidence_pb2 import HistoryMessage, ScoreRequest, ScoreResponse, Signal
from metachat.escalation.v1.conversation_pb2 import Draft

from services.escalation.policy import Decision, Policy, TurnFacts, decide
from services.escalation.turns.frustration import FAILURES, fails
from services.escalation.turns.outcome import Scored
from services.escalation.turns.reply_text import visible
from services.escalation.turns.rules import Rules
from services.escalation.turns.scoring import Scoring
from services.topics.high_stakes import assess

UNSUPPORTED: Final = "unsupported_message"
# What is kept of a draft for the agent and for replay; the whole would be megabytes.
_PASSAGES: Final = 10
_PASSAGE_CHARACTERS: Final = 4_000
_SAMPLES: Final = 5
_SAMPLE_CHARACTERS: Final = 8_000


@dataclass(frozen=True, slots=True)
class Question:
    """What a draft is judged on beside itself. `history`: the context before the message, oldest first;
    `failed_before`: how many turns right before it failed.
    """

    tenant_id: str
    turn_id: str
    text: str
    urgent: bool
    marker_tag: str
    history: Sequence[HistoryMessage] = ()
    keyword: bool = False
    customer_request: bool = False
    frustrated: bool = False
    failed_before: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision with the visible reply (empty: none) and what the scorer said."""

    decision: Decision
    facts: TurnFacts
    visible: str
    scored: Scored


async def judge(question: Question, draft: Draft, rules: Rules, scoring: Scoring, policy: Policy) -> Judged:
    """Decide by `policy`, the tenant's as it is in force here, what is done with a draft.

    A scorer that is away raises nothing: the policy has a row for it."""
    facts = TurnFacts(
        urgent=question.urgent,
        keyword=question.keyword,
        customer_request=question.customer_request,
        frustrated=question.frustrated,
        unsupported_message=draft.failure == UNSUPPORTED or not question.text.strip(),
        no_reply=not draft.reply.strip(),
    )
    # Rows above the score need none; without a usable draft there is nothing to score.
    if facts.no_reply or facts.unsupported_message:
        return _judged(facts, policy, "" if facts.no_reply else visible(draft.reply))
    # Under a policy that is not in force a frustrated customer gets the draft: it is scored like any other.
    frustrated = facts.frustrated and not policy.shadow
    if facts.keyword or facts.customer_request or frustrated or not policy.enabled:
        shown = visible(draft.reply)
        return _judged(replace(facts, no_reply=not shown), policy, shown)
    score = await scoring.score(_request(question, draft, rules, scoring.scorer_version))
    if score is None or not 0.0 <= score.score <= 1.0:
        shown = visible(draft.reply)
        stakes = assess(question.text, shown, rules.high_stakes_terms).high_stakes
        return _judged(replace(facts, no_reply=not shown, high_stakes=stakes), policy, shown)
    shown = score.visible_reply.strip()
    facts = replace(facts, score=score.score, high_stakes=score.high_stakes, no_reply=not shown)
    judged = _judged(facts, policy, shown, _scored(score))
    if rules.detect_frustration and question.failed_before + 1 >= FAILURES and fails(judged.decision):
        return _judged(replace(facts, frustrated=True), policy, shown, judged.scored)
    return judged


def _judged(facts: TurnFacts, policy: Policy, shown: str, scored: Scored | None = None) -> Judged:
    return Judged(decide(facts, policy), facts, shown, scored or Scored())


def _request(question: Question, draft: Draft, rules: Rules, scorer_version: str) -> ScoreRequest:
    request = ScoreRequest(
        request_id=question.turn_id,
        tenant_id=question.tenant_id,
        user_message=question.text,
        reply=draft.reply,
        history=question.history,
        passages=draft.passages,
        samples=draft.samples,
        token_logprobs=draft.token_logprobs,
        marker_tag=question.marker_tag,
        high_stakes_terms=rules.high_stakes_terms,
        calibration=rules.calibration(scorer_version),
    )
    if draft.HasField("self_assessment"):
        request.self_assessment = draft.self_assessment
    return request


def _scored(score: ScoreResponse) -> Scored:
    return Scored(
        version=score.scorer_version,
        raw_score=score.raw_score,
        pattern=score.pattern,
        calibration=score.calibration.version,
        signals=[_signal_record(signal) for signal in score.signals],
    )


def _signal_record(signal: Signal) -> Mapping[str, Any]:
    record: dict[str, Any] = {
        "name": signal.name,
        "available": signal.available,
        "value": signal.value,
        "weight": signal.weight,
        "contribution": signal.contribution,
        "reason": signal.reason,
    }
    # People read those that had something to say; there are many turns to keep.
    if signal.available and signal.statement:
        record["statement"] = signal.statement
        if signal.parameters:
            record["parameters"] = dict(signal.parameters)
    return record


def draft_record(draft: Draft) -> Mapping[str, Any]:
    """What is kept of a draft, under JSON names."""
    record: dict[str, Any] = {
        "reply": draft.reply,
        "responder": draft.responder,
        "model": draft.model,
        "failure": draft.failure,
        "failureDetail": draft.failure_detail,
        "passages": [
            {"text": passage.text[:_PASSAGE_CHARACTERS], "source": passage.source, "score": passage.score}
            for passage in draft.passages[:_PASSAGES]
        ],
        "samples": [sample[:_SAMPLE_CHARACTERS] for sample in draft.samples[:_SAMPLES]],
        "tokens": len(draft.token_logprobs),
    }
    if draft.HasField("self_assessment"):
        record["selfAssessment"] = draft.self_assessment
    return {name: value for name, value in record.items() if value not in ("", [], 0)}
