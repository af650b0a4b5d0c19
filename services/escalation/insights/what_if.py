"""What another policy would have done with a tenant's turns, and how lax a threshold may be."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from google.protobuf import json_format
from metachat.confidence.v1.confidence_pb2 import Calibration

from services.common.errors import Kind, ServiceError
from services.escalation import policy_reading
from services.escalation.insights.guarantees import DEFAULT_DELTA, Certificate, Verdict, Versions, certify
from services.escalation.insights.promises import promise
from services.escalation.insights.simulation import ScoredTurn, Simulation, simulate
from services.escalation.policy import Action, Policy, Thresholds, TurnFacts, decide
from services.escalation.store import calibrations
from services.escalation.store import scored_turns as store
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory, TenantRecord
from services.escalation.verdicts.sampling import held_for_proofs
from services.escalation.verdicts.scores_today import COURTESY, GLOBAL, floor_today, score_today

MOST_TURNS: Final = 100_000
_MOST_SCORES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A certificate with the thresholds to set (None: none is safe) and its promise in words."""

    thresholds: Thresholds | None
    certificate: Certificate
    promise: str
    delta: float
    versions: Versions | None


class WhatIf:
    """Simulates policies and proves thresholds, on stored turns or on turns that are brought along."""

    def __init__(self, database: Database, directory: TenantDirectory, *, enabled_globally: bool) -> None:
        """`enabled_globally`: ENABLE_CONFIDENCE_ESCALATION."""
        self._database = database
        self._directory = directory
        self._enabled_globally = enabled_globally

    def policy_of(self, tenant: TenantRecord) -> Policy:
        """The tenant's policy of today."""
        return policy_reading.from_settings(
            tenant.effective, version=tenant.policy_version, enabled_globally=self._enabled_globally
        )

    async def simulate(
        self,
        tenant: TenantRecord,
        policy: Policy,
        *,
        begin: datetime | None,
        end: datetime | None,
        turns: Sequence[ScoredTurn],
    ) -> Simulation:
        """Decide `turns`, or without any the stored ones of a period, by another policy.

        Raises ServiceError(NOT_READY) where there is nothing to decide.
        """
        notes: list[str] = []
        if not turns:
            total = await self._database.read(
                partial(store.count_decided, tenant_id=tenant.id, begin=begin, end=end)
            )
            turns = await self._database.read(
                partial(store.decided_turns, tenant_id=tenant.id, begin=begin, end=end, limit=MOST_TURNS)
            )
            if total > len(turns):
                notes.append(f"Only the newest {len(turns):,} of {total:,} turns were looked at.")
        if not turns:
            raise ServiceError(
                Kind.NOT_READY,
                "there is nothing to simulate: no turn of this tenant was decided"
                + (" in this period" if begin or end else " yet"),
                reason="EMPTY_HISTORY",
            )
        # Half a second for the most there can be: not on the event loop.
        found = await asyncio.to_thread(simulate, turns, policy, self.policy_of(tenant))
        return replace(found, notes=[*notes, *found.notes])

    async def recommend(
        self, tenant: TenantRecord, *, alpha: float, delta: float, turns: Sequence[ScoredTurn]
    ) -> Recommendation:
        """The laxest immediate threshold whose promise is proven; a delta of 0 asks for the default."""
        delta = delta or DEFAULT_DELTA
        policy = self.policy_of(tenant)
        versions: Versions | None = None
        if turns:
            scored = [
                (turn.facts.score, turn.facts.high_stakes) for turn in turns if turn.facts.score is not None
            ]
            judged = _sample(turns)
        else:
            newest = await self._database.read(partial(store.newest_versions, tenant_id=tenant.id))
            own = tenant.calibrations.get(newest.scorer)
            in_force = own.version if own is not None else GLOBAL if newest.scorer else ""
            versions = Versions(newest.scorer, in_force)
            scored, judged = await self._history(tenant.id, newest.scorer, own)
        certificate = await asyncio.to_thread(_certify, judged, scored, policy, alpha, delta)
        thresholds = None
        if certificate.threshold is not None:
            review = policy.thresholds(high_stakes=False).review
            thresholds = Thresholds(certificate.threshold, max(certificate.threshold, review))
        sentence = promise(
            certificate,
            alpha=alpha,
            delta=delta,
            versions=versions,
            review=thresholds.review if thresholds else 0.0,
        )
        return Recommendation(thresholds, certificate, sentence, delta, versions)

    async def _history(
        self, tenant_id: str, scorer: str, own: Calibration | None
    ) -> tuple[list[tuple[float, bool]], list[ScoredTurn]]:
        """All scores, and the judged audit to stand on, as they would be under the calibration in force.

        Where the tenant has one of its own, only verdicts that it was not fitted on.
        """
        given = await self._database.read(
            partial(store.scores, tenant_id=tenant_id, scorer=scorer, limit=_MOST_SCORES)
        )
        audited = await self._database.read(
            partial(store.audited_turns, tenant_id=tenant_id, scorer=scorer, limit=MOST_TURNS)
        )
        past = {
            version: json_format.ParseDict(stored, Calibration(), ignore_unknown_fields=True)
            for version, stored in (
                await self._database.read(
                    partial(calibrations.adopted, tenant_id=tenant_id, scorer_version=scorer)
                )
            ).items()
        }
        scored = [
            (today, high_stakes)
            for one, high_stakes in given
            if one.pattern != COURTESY and (today := score_today(one, own)) is not None
        ]
        kept = [one for one in audited if own is None or held_for_proofs(one.turn.turn_id)]
        return scored, [turn for one in kept if (turn := _as_of_today(one, past, own)) is not None]


def _as_of_today(
    audited: store.AuditedTurn, past: Mapping[str, Calibration], own: Calibration | None
) -> ScoredTurn | None:
    """A judged turn with its score and its threshold as they would be now; None where nobody can say."""
    given, then = audited.given, past.get(audited.given.calibration)
    if given.pattern == COURTESY or (then is None and given.calibration != GLOBAL):
        return None
    score = score_today(given, own)
    floor = floor_today(audited.turn.floor, then, own)
    if score is None or floor is None:
        return None
    return replace(audited.turn, facts=replace(audited.turn.facts, score=score), floor=floor)


def _sample(turns: Sequence[ScoredTurn]) -> list[ScoredTurn]:
    """The judged turns to stand on: the audited ones, or all with their weights where none says it is."""
    judged = [turn for turn in turns if turn.judged and turn.facts.score is not None]
    return [turn for turn in judged if turn.audited] or judged


def _certify(
    judged: Sequence[ScoredTurn],
    scored: Sequence[tuple[float, bool]],
    policy: Policy,
    alpha: float,
    delta: float,
) -> Certificate:
    # A high-stakes reply below the pair of its topic goes to a person whatever the threshold is.
    open_policy = replace(policy, enabled=True, immediate=0.0, review=0.0)
    limit = open_policy.thresholds(high_stakes=True).immediate

    def sendable(score: float, high_stakes: bool) -> bool:
        facts = TurnFacts(score=score, high_stakes=high_stakes)
        return decide(facts, open_policy).action is not Action.IMMEDIATE_ESCALATION

    verdicts, floor = [], 0.0
    for turn in judged:
        score, stakes = turn.facts.score or 0.0, turn.facts.high_stakes
        if not stakes or turn.floor > limit:
            floor = max(floor, turn.floor)
        if sendable(score, stakes):
            verdicts.append(Verdict(score, not turn.correct, turn.audit_weight))
    scores = [score for score, stakes in scored if sendable(score, stakes)]
    return certify(
        verdicts, scores, alpha=alpha, delta=delta, floor=floor, unsendable=len(scored) - len(scores)
    )
