"""Replays stored decisions: from what was stored, and as they would come out today."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from metachat.confidence.v1.confidence_pb2 import Passage
from metachat.escalation.v1.conversation_pb2 import Draft
from sqlalchemy import Connection, select

from services.common.errors import Kind, ServiceError
from services.escalation.insights.replay import Basis, differences, recorded_basis, unlike
from services.escalation.policy import Decision
from services.escalation.store import turns as store
from services.escalation.store.database import Database
from services.escalation.store.schema import messages
from services.escalation.tenants.directory import TenantRecord
from services.escalation.turns.judging import Question, judge
from services.escalation.turns.model import OPEN, Arrival, TurnState
from services.escalation.turns.outcome import Outcome, from_row
from services.escalation.turns.rules import Rules
from services.escalation.turns.scoring import Scoring

_HELD: Final = "a person had the conversation: nothing was decided"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A decision as it was recorded, once more, and as of today. None: nothing was decided."""

    recorded: Outcome
    replayed: Decision | None
    today: Decision | None
    scorer_today: str
    reproduced: bool
    differences: list[str]


class Replays:
    """Replays turns of tenants."""

    def __init__(self, database: Database, scoring: Scoring, *, enabled_globally: bool) -> None:
        """`scoring` is asked only where the reply is to be scored again."""
        self._database = database
        self._scoring = scoring
        self._enabled_globally = enabled_globally

    async def replay(self, tenant: TenantRecord, turn_id: str, *, rescore: bool) -> Replayed:
        """Decide a stored turn again.

        Raises ServiceError: NOT_FOUND, NOT_READY for a turn that is not over.
        """
        turn, text = await self._database.read(partial(_stored, tenant_id=tenant.id, turn_id=turn_id))
        outcome = from_row(turn)
        then = recorded_basis(turn)
        if then is None or outcome.decision is None:
            return Replayed(outcome, None, None, "", outcome.decision is None, [_HELD])
        replayed = then.decision()
        rules = Rules.of(tenant, enabled_globally=self._enabled_globally)
        notes: list[str] = []
        today = self._today(then, turn, text, rules)
        if rescore:
            today = await self._rescored(today, turn, text, rules, notes)
        return Replayed(
            recorded=outcome,
            replayed=replayed,
            today=today.decision(),
            scorer_today=today.scorer,
            reproduced=replayed == outcome.decision,
            differences=[*unlike(outcome.decision, replayed), *differences(then, today), *notes],
        )

    def _today(self, then: Basis, turn: dict[str, Any], text: str, rules: Rules) -> Basis:
        """The same score under the settings of today; what the message's words say is read again."""
        policy = rules.staged(turn["channel"], turn["conversation_id"] or "")
        if then.given_up or not text.strip():
            return replace(then, policy=policy)
        read = rules.read(Arrival(turn["tenant_id"], turn["channel"], turn["message_id"], text))
        facts = replace(
            then.facts,
            keyword=read.keyword,
            customer_request=read.customer_request,
            # What showed in the course of the conversation is kept; words are read again.
            frustrated=rules.detect_frustration and (then.facts.frustrated or read.frustrated),
            urgent=read.urgent,
        )
        return replace(then, facts=facts, policy=policy)

    async def _rescored(
        self, today: Basis, turn: dict[str, Any], text: str, rules: Rules, notes: list[str]
    ) -> Basis:
        record = turn["draft"] or {}
        if today.given_up or not record.get("reply"):
            notes.append("there is no stored draft to score again")
            return today
        question = Question(turn["tenant_id"], turn["id"], text, today.facts.urgent, turn["marker_tag"])
        judged = await judge(question, _draft(record), rules, self._scoring, today.policy)
        if judged.facts.score is None:
            notes.append("no score could be had today: the recorded one is used")
            return today
        if record.get("tokens"):
            notes.append("token probabilities are not stored: the score of today is made without them")
        facts = replace(today.facts, score=judged.facts.score, high_stakes=judged.facts.high_stakes)
        return replace(
            today, facts=facts, scorer=judged.scored.version, calibration=judged.scored.calibration
        )


def _stored(connection: Connection, tenant_id: str, turn_id: str) -> tuple[dict[str, Any], str]:
    turn = store.by_id(connection, tenant_id, turn_id)
    if turn is None:
        raise ServiceError(Kind.NOT_FOUND, "there is no such turn")
    if TurnState(turn["state"]) in OPEN:
        raise ServiceError(
            Kind.NOT_READY, "the turn is not over: there is no decision to replay yet", reason="TURN_OPEN"
        )
    if turn["inbound_id"] is None:
        return turn, ""
    text = connection.execute(
        select(messages.c.text).where(messages.c.id == turn["inbound_id"])
    ).scalar_one_or_none()
    return turn, text or ""


def _draft(record: dict[str, Any]) -> Draft:
    draft = Draft(
        reply=record["reply"],
        responder=record.get("responder", ""),
        model=record.get("model", ""),
        passages=[
            Passage(text=passage["text"], source=passage["source"], score=passage["score"])
            for passage in record.get("passages", ())
        ],
        samples=record.get("samples", ()),
    )
    if "selfAssessment" in record:
        draft.self_assessment = record["selfAssessment"]
    return draft
