"""The figures of a page: asked for at once, added up by what charts show, with the addresses behind them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from metachat.escalation.v1 import insight_pb2, policy_pb2

from services.console.frame import Visit
from services.console.numbers import number, percent
from services.console.periods import Window, with_query

ACTIONS: Final = (
    "IMMEDIATE_ESCALATION",
    "SUGGEST_REVIEW",
    "SEND_WITH_DISCLAIMER",
    "CONTINUE",
    "ACTION_UNSPECIFIED",
)
ESCALATED: Final = "IMMEDIATE_ESCALATION"
UNDECIDED: Final = "ACTION_UNSPECIFIED"
_action = policy_pb2.Decision.Action.Name


@dataclass(frozen=True)
class Figures:
    """Answers of InsightService about one window; counts are by what they count and by bucket."""

    visit: Visit
    window: Window
    buckets: list[datetime]
    by_action: Mapping[str, Mapping[datetime, int]]
    by_reason: Mapping[str, Mapping[datetime, int]]
    histogram: insight_pb2.GetScoreHistogramResponse
    outcomes: insight_pb2.GetOutcomesResponse
    reliability: insight_pb2.GetReliabilityResponse
    stages: list[insight_pb2.StageCount]
    tenants: insight_pb2.ListTenantFiguresResponse = field(
        default_factory=insight_pb2.ListTenantFiguresResponse
    )

    @classmethod
    async def read(cls, visit: Visit, window: Window) -> Figures:
        """Of the tenant of the visit; of all tenants where it has none. Raises ServiceError."""
        scope: dict[str, Any] = {"tenant_id": visit.tenant_id} if visit.tenant_id else {"all_tenants": True}
        asked = {**scope, "period": window.period()}
        calls = visit.calls.insights
        rates, histogram, outcomes, reliability, stages, tenants = await asyncio.gather(
            calls.GetEscalationRates(
                insight_pb2.GetEscalationRatesRequest(
                    **asked, interval=window.kind.interval, time_zone=window.zone.key
                )
            ),
            calls.GetScoreHistogram(insight_pb2.GetScoreHistogramRequest(**asked)),
            calls.GetOutcomes(insight_pb2.GetOutcomesRequest(**asked)),
            calls.GetReliability(insight_pb2.GetReliabilityRequest(**scope)),
            calls.GetStages(insight_pb2.GetStagesRequest(**asked)),
            _nothing()
            if visit.tenant_id
            else calls.ListTenantFigures(insight_pb2.ListTenantFiguresRequest(period=window.period())),
        )
        actions: dict[str, dict[datetime, int]] = defaultdict(lambda: defaultdict(int))
        reasons: dict[str, dict[datetime, int]] = defaultdict(lambda: defaultdict(int))
        for cell in rates.cells:
            begin = cell.hour.ToDatetime(UTC)
            actions[_action(cell.action)][begin] += cell.turns
            if cell.reason:
                reasons[cell.reason][begin] += cell.turns
        known = {begin.astimezone(UTC) for begin in window.buckets()}
        seen = {begin for series in actions.values() for begin in series}
        return cls(
            visit=visit,
            window=window,
            buckets=sorted(known | seen),
            by_action=actions,
            by_reason=dict(sorted(reasons.items(), key=lambda item: -sum(item[1].values()))),
            histogram=histogram,
            outcomes=outcomes,
            reliability=reliability,
            stages=list(stages.stages),
            tenants=tenants,
        )

    def action(self, name: str, begin: datetime | None = None) -> int:
        """Turns with an action, of one bucket or of all."""
        series = self.by_action.get(name, {})
        return sum(series.values()) if begin is None else series.get(begin, 0)

    def decided(self, begin: datetime | None = None) -> int:
        """Turns in which something was decided."""
        return sum(self.action(name, begin) for name in ACTIONS if name != UNDECIDED)

    @property
    def turns(self) -> int:
        """All turns of the window."""
        return sum(self.action(name) for name in ACTIONS)

    def rate(self, begin: datetime | None = None) -> float | None:
        """The share of decided turns that was escalated; None where nothing was decided."""
        decided = self.decided(begin)
        return self.action(ESCALATED, begin) / decided if decided else None

    def percent(self, share: float | None, digits: int = 1) -> str:
        """A share as text; a dash for none."""
        return "—" if share is None else percent(share, self.visit.locale, digits=digits)

    def decimal(self, value: float) -> str:
        """A score as text."""
        return number(value, self.visit.locale, digits=2)

    def turns_link(self, number: int | None = None, **filters: str) -> str:
        """The address of the turns behind a figure; of bucket `number` or of the whole window."""
        return with_query(self.base("turns"), **self._bounds(number), **filters)

    def outcomes_link(self, kind: str, **filters: str) -> str:
        """The address of the conversations or handoffs behind a figure."""
        return with_query(self.base("outcomes"), kind=kind, **self._bounds(None), **filters)

    def base(self, page: str) -> str:
        """The address of a page of the same tenant, or of all."""
        return self.visit.path(page) if self.visit.tenant_id else f"/all/{page}"

    def _bounds(self, number: int | None) -> dict[str, str]:
        if number is None:
            return self.window.bounds()
        following = self.buckets[number + 1] if number + 1 < len(self.buckets) else None
        return self.window.bounds(self.buckets[number], following=following)


async def _nothing() -> insight_pb2.ListTenantFiguresResponse:
    return insight_pb2.ListTenantFiguresResponse()
