"""InsightService: events, figures, what-if, guarantees and replays as messages of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metachat.escalation.v1 import insight_pb2, insight_pb2_grpc, policy_pb2

from services.common.errors import invalid_field
from services.escalation import policy_reading
from services.escalation.insights.certificate_gaps import least_to_judge, to_judge, why_none
from services.escalation.insights.counts import QUARTER_SECONDS
from services.escalation.insights.estimates import Estimate
from services.escalation.insights.figures import Figures, Period, zone_of
from services.escalation.insights.lists import Lists
from services.escalation.insights.simulation import Change, ScoredTurn
from services.escalation.insights.stored_decisions import Replays
from services.escalation.insights.what_if import WhatIf
from services.escalation.policy import Action, TurnFacts
from services.escalation.servicers.insight_lists import ListRpcs
from services.escalation.servicers.reliability import Reliability, ReliabilityRpcs
from services.escalation.servicers.requests import line, tenant_of, tenant_or_all
from services.escalation.servicers.translation import (
    decision_message,
    moment,
    outcome_message,
    thresholds_message,
)
from services.escalation.store.database import Database
from services.escalation.store.verdicts import last_verdict
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.verdicts.reviews import verdict_message

_CHANGED: Final = 100
_UNKNOWN: Final = "ACTION_UNSPECIFIED"
_TENANTS: Final = 100
_Rates = insight_pb2.GetEscalationRatesRequest
_INTERVALS: Final = {_Rates.DAY: "day", _Rates.QUARTER_HOUR: "quarter"}


@dataclass(frozen=True, slots=True)
class Insights:
    """What the servicer translates to."""

    figures: Figures
    what_if: WhatIf
    replays: Replays


class InsightServicer(ListRpcs, ReliabilityRpcs, insight_pb2_grpc.InsightServiceServicer):
    """See the contract."""

    def __init__(
        self, database: Database, directory: TenantDirectory, reliability: Reliability, insights: Insights
    ) -> None:
        """All are opened by whoever made them."""
        self._reliability = reliability
        self._database = database
        self._directory = directory
        self._figures = insights.figures
        self._lists = Lists(database)
        self._what_if = insights.what_if
        self._replays = insights.replays

    async def GetEscalationRates(
        self, request: insight_pb2.GetEscalationRatesRequest, _context: Any
    ) -> insight_pb2.GetEscalationRatesResponse:
        """See the contract."""
        cells = await self._figures.rates(
            await tenant_or_all(self._directory, request),
            self._period(request),
            zone=zone_of(request.time_zone),
            interval=_INTERVALS.get(request.interval, "hour"),
            channel=line(request.channel, "channel").lower(),
        )
        response = insight_pb2.GetEscalationRatesResponse()
        add, actions = response.cells.add, policy_pb2.Decision.Action
        values = {name: value for name, value in actions.items() if value} | {"": 0}
        for begins, channel, action, reason, turns in cells:
            # In place: there are tens of thousands of them, and each copy costs as much as making it.
            cell = add(action=values[action], reason=reason, turns=turns, channel=channel)
            cell.hour.seconds = begins * QUARTER_SECONDS
        return response

    async def GetScoreHistogram(
        self, request: insight_pb2.GetScoreHistogramRequest, _context: Any
    ) -> insight_pb2.GetScoreHistogramResponse:
        """See the contract."""
        tenant_id = await tenant_or_all(self._directory, request)
        counts = await self._figures.histogram(tenant_id, self._period(request))
        response = insight_pb2.GetScoreHistogramResponse(counts=counts)
        if tenant_id:
            policy = self._what_if.policy_of(await self._directory.get(tenant_id))
            response.thresholds.CopyFrom(thresholds_message(policy.thresholds(high_stakes=False)))
            response.high_stakes_thresholds.CopyFrom(thresholds_message(policy.thresholds(high_stakes=True)))
        return response

    async def GetStages(
        self, request: insight_pb2.GetStagesRequest, _context: Any
    ) -> insight_pb2.GetStagesResponse:
        """See the contract."""
        tenant_id = await tenant_or_all(self._directory, request)
        found = await self._figures.stages(tenant_id, self._period(request))
        return insight_pb2.GetStagesResponse(
            stages=[
                insight_pb2.StageCount(
                    stage=stage,
                    action=_action_value(action),
                    shadow_action=_action_value(shadow),
                    turns=turns,
                )
                for (stage, action, shadow), turns in found
            ]
        )

    async def ListTenantFigures(
        self, request: insight_pb2.ListTenantFiguresRequest, _context: Any
    ) -> insight_pb2.ListTenantFiguresResponse:
        """See the contract."""
        found, total = await self._figures.tenants(self._period(request), limit=request.limit or _TENANTS)
        return insight_pb2.ListTenantFiguresResponse(
            tenants=[
                insight_pb2.TenantFigures(
                    tenant_id=one.tenant_id, name=one.name, turns=one.turns, escalated=one.escalated
                )
                for one in found
            ],
            total=total,
        )

    async def GetOutcomes(
        self, request: insight_pb2.GetOutcomesRequest, _context: Any
    ) -> insight_pb2.GetOutcomesResponse:
        """See the contract."""
        tenant_id = await tenant_or_all(self._directory, request)
        found = await self._figures.outcomes(tenant_id, self._period(request))
        return insight_pb2.GetOutcomesResponse(
            conversations=found.conversations,
            contained=found.contained,
            reopened=found.reopened,
            handoffs=found.handoffs,
            waiting_seconds_p50=found.waiting_p50,
            waiting_seconds_p90=found.waiting_p90,
            waiting_now=found.waiting_now,
            signals=[
                insight_pb2.SignalCount(name=name, turns=turns, escalated=escalated)
                for name, turns, escalated in found.signals
            ],
            waits=[
                insight_pb2.WaitBand(from_seconds=low, to_seconds=high, handoffs=count)
                for low, high, count in found.waits
            ],
        )

    async def SimulatePolicy(
        self, request: insight_pb2.SimulatePolicyRequest, _context: Any
    ) -> insight_pb2.SimulatePolicyResponse:
        """See the contract."""
        tenant = await self._directory.get(tenant_of(request.tenant_id))
        if not request.HasField("policy"):
            raise invalid_field("policy", "say what to simulate")
        policy = policy_reading.from_proto(request.policy)
        begin, end = moment(request.period, "from"), moment(request.period, "to")
        if begin is not None and end is not None and end <= begin:
            raise invalid_field("period", "must end after it begins")
        found = await self._what_if.simulate(
            tenant, policy, begin=begin, end=end, turns=[_scored_turn(turn) for turn in request.turns]
        )
        limit = request.changed_limit or _CHANGED
        return insight_pb2.SimulatePolicyResponse(
            before=_counts(found.before),
            after=_counts(found.after),
            turns=found.turns,
            changed=[_changed(change) for change in found.changed[:limit]],
            changed_total=len(found.changed),
            error_before=_estimate(found.error_before),
            error_after=_estimate(found.error_after),
            thresholds=thresholds_message(policy.thresholds(high_stakes=False)),
            high_stakes_thresholds=thresholds_message(policy.thresholds(high_stakes=True)),
            notes=found.notes,
        )

    async def RecommendThresholds(
        self, request: insight_pb2.RecommendThresholdsRequest, _context: Any
    ) -> insight_pb2.RecommendThresholdsResponse:
        """See the contract."""
        tenant = await self._directory.get(tenant_of(request.tenant_id))
        found = await self._what_if.recommend(
            tenant,
            alpha=request.alpha,
            delta=request.delta,
            turns=[_scored_turn(turn) for turn in request.turns],
        )
        versions = found.versions
        return insight_pb2.RecommendThresholdsResponse(
            thresholds=None if found.thresholds is None else thresholds_message(found.thresholds),
            verdicts=found.certificate.verdicts,
            coverage=found.certificate.coverage,
            promise=found.promise,
            test=found.certificate.test,
            error=_estimate(found.certificate.error),
            alpha=request.alpha,
            delta=found.delta,
            calibration_version="" if versions is None else versions.calibration,
            scorer_version="" if versions is None else versions.scorer,
            none_because=why_none(found.certificate, alpha=request.alpha, versions=versions),
            missing_verdicts=to_judge(found.certificate.needed or 0, versions),
            least_verdicts=least_to_judge(alpha=request.alpha, delta=found.delta, versions=versions),
            floor=found.certificate.floor,
        )

    async def ReplayDecision(
        self, request: insight_pb2.ReplayDecisionRequest, _context: Any
    ) -> insight_pb2.ReplayDecisionResponse:
        """See the contract."""
        tenant = await self._directory.get(tenant_of(request.tenant_id))
        found = await self._replays.replay(tenant, request.turn_id, rescore=request.rescore)
        scorer = found.recorded.scorer_version
        verdict = await self._database.read(lambda c: last_verdict(c, found.recorded.turn_id))
        return insight_pb2.ReplayDecisionResponse(
            recorded=outcome_message(found.recorded),
            replayed=None if found.replayed is None else decision_message(found.replayed, scorer),
            today=None if found.today is None else decision_message(found.today, found.scorer_today),
            reproduced=found.reproduced,
            differences=found.differences,
            verdict=None if verdict is None else verdict_message(verdict),
        )

    def _period(self, request: Any) -> Period:
        return self._figures.period(moment(request.period, "from"), moment(request.period, "to"))


def _action_value(action: str) -> Any:
    return policy_pb2.Decision.Action.Value(action or _UNKNOWN)


def _scored_turn(turn: insight_pb2.ScoredTurn) -> ScoredTurn:
    name = policy_pb2.Decision.Action.Name(turn.action)
    return ScoredTurn(
        turn_id=turn.turn_id,
        facts=TurnFacts(
            score=turn.score if turn.HasField("score") else None,
            high_stakes=turn.high_stakes,
            urgent=turn.urgent,
        ),
        before=Action.NONE if name == _UNKNOWN else Action(name),
        conversation_id=turn.conversation_id,
        correct=turn.correct if turn.HasField("correct") else None,
        weight=turn.weight or 1.0,
        audited=turn.audited,
        audit_weight=turn.weight or 1.0,
    )


def _counts(counts: Mapping[Action, int]) -> dict[str, int]:
    return {str(action) or _UNKNOWN: count for action, count in counts.items()}


def _changed(change: Change) -> insight_pb2.ChangedTurn:
    return insight_pb2.ChangedTurn(
        turn_id=change.turn.turn_id,
        conversation_id=change.turn.conversation_id,
        before=_action_value(str(change.before)),
        after=_action_value(str(change.after)),
        score=change.turn.facts.score,
    )


def _estimate(found: Estimate | None) -> insight_pb2.ErrorEstimate | None:
    if found is None:
        return None
    return insight_pb2.ErrorEstimate(
        error=found.error, lower=found.lower, upper=found.upper, verdicts=found.verdicts
    )
