"""The lists of InsightService: what is behind its figures, and events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf import json_format
from metachat.escalation.v1 import event_pb2, insight_pb2, policy_pb2

from services.common.errors import invalid_field
from services.escalation.insights.counts import quarter_of, span_of
from services.escalation.insights.figures import Figures, Period
from services.escalation.insights.lists import EventsWanted, Lists, action_word
from services.escalation.insights.search import Wanted
from services.escalation.servicers.reliability import Reliability
from services.escalation.servicers.requests import line, tenant_or_all
from services.escalation.servicers.translation import decision_message, moment, storable, timestamp
from services.escalation.store.insight_lists import Place
from services.escalation.store.pages import page_size, page_token, position_of
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.turns.outcome import decision_from

_PAGE: Final = 50
_Kind = insight_pb2.ListOutcomesRequest
_Judged = insight_pb2.ListTurnsRequest
_WHICH: Final[Mapping[int, dict[str, Any]]] = {
    _Kind.CONVERSATIONS: {},
    _Kind.CONTAINED: {"needed_person": False},
    _Kind.NEEDED_PERSON: {"needed_person": True},
    _Kind.REOPENED: {"reopened": True},
}


class ListRpcs:
    """The part of InsightService that lists; mixed into its servicer."""

    _reliability: Reliability
    _directory: TenantDirectory
    _figures: Figures
    _lists: Lists

    async def ListTurns(
        self, request: insight_pb2.ListTurnsRequest, _context: Any
    ) -> insight_pb2.ListTurnsResponse:
        """See the contract."""
        tenant_id = await tenant_or_all(self._directory, request)
        wanted = _wanted(request)
        size = page_size(request.page_size, _PAGE)
        if request.judged:
            return await self._judged(tenant_id, request, wanted, size)
        found = await self._lists.turns(
            tenant_id, self._asked_period(request), wanted, before=_place(request.page_token), limit=size
        )
        return insight_pb2.ListTurnsResponse(
            turns=[_turn_message(row) for row in found.turns],
            next_page_token="" if found.next is None else _token(*found.next),
            searched_to=timestamp(found.searched_to),
        )

    async def ListOutcomes(
        self, request: insight_pb2.ListOutcomesRequest, _context: Any
    ) -> insight_pb2.ListOutcomesResponse:
        """See the contract."""
        tenant_id = await tenant_or_all(self._directory, request)
        size = page_size(request.page_size, _PAGE)
        page: dict[str, Any] = {"before": _place(request.page_token), "limit": size + 1}
        which = _WHICH.get(request.kind)
        if which is not None:
            found = await self._lists.conversations(tenant_id, self._asked_period(request), **page, **which)
        elif request.kind == _Kind.WAITING_NOW:
            found = await self._lists.handoffs(tenant_id, None, **page, waiting=True)
        else:
            most = request.wait_to_seconds if request.HasField("wait_to_seconds") else None
            found = await self._lists.handoffs(
                tenant_id,
                self._asked_period(request),
                **page,
                claimed=request.kind == _Kind.CLAIMED,
                waited=(request.wait_from_seconds, most),
            )
        return insight_pb2.ListOutcomesResponse(
            outcomes=[_outcome_message(row) for row in found[:size]],
            next_page_token=_token(found[size - 1]["created_at"], found[size - 1]["id"])
            if len(found) > size
            else "",
        )

    async def ListEvents(
        self, request: insight_pb2.ListEventsRequest, _context: Any
    ) -> insight_pb2.ListEventsResponse:
        """See the contract."""
        tenant_id = await tenant_or_all(self._directory, request)
        begin, end = moment(request.period, "from"), moment(request.period, "to")
        if begin is not None and end is not None and end <= begin:
            raise invalid_field("period", "must end after it begins")
        found = await self._lists.events(
            tenant_id,
            EventsWanted(
                type=line(request.type, "type"),
                conversation_id=line(request.conversation_id, "conversation_id"),
                turn_id=line(request.turn_id, "turn_id"),
                begin=begin,
                end=end,
                reason=line(request.reason, "reason"),
                action=action_word(policy_pb2.Decision.Action.Name(request.action)),
                text=storable(request.text.strip()),
            ),
            before=_place(request.page_token),
            limit=page_size(request.page_size, _PAGE),
        )
        return insight_pb2.ListEventsResponse(
            events=[event_message(row) for row in found.events],
            next_page_token="" if found.next is None else _token(*found.next),
            searched_to=timestamp(found.searched_to),
        )

    async def _judged(
        self, tenant_id: str, request: insight_pb2.ListTurnsRequest, wanted: Wanted, size: int
    ) -> insight_pb2.ListTurnsResponse:
        """Turns with verdicts: few enough to look through, by the scores that the figures are made of."""
        position = position_of(request.page_token, 1)
        named = sorted(
            (
                turn_id
                for turn_id, score, correct in await self._reliability.judged(tenant_id)
                if wanted.score_fits(score)
                and (request.judged == _Judged.ANY or correct == (request.judged == _Judged.CORRECT))
                and (position is None or turn_id < position[0])
            ),
            reverse=True,
        )
        bounded = request.HasField("period")
        period = self._asked_period(request) if bounded else None
        span = None if period is None else span_of(period.begin, period.end)

        def fits(row: Mapping[Any, Any]) -> bool:
            return span is None or span.first <= quarter_of(row["completed_at"]) < span.end

        found = await self._lists.named(tenant_id, wanted, named, fits=fits, limit=size + 1)
        return insight_pb2.ListTurnsResponse(
            turns=[_turn_message(row) for row in found[:size]],
            next_page_token=page_token(found[size - 1]["id"]) if len(found) > size else "",
        )

    def _asked_period(self, request: Any) -> Period:
        return self._figures.period(moment(request.period, "from"), moment(request.period, "to"))


def event_message(row: Any) -> event_pb2.Event:
    """A row of `events` for callers."""
    message = event_pb2.Event(
        id=row.id,
        type=row.type,
        tenant_id=row.tenant_id,
        conversation_id=row.conversation_id or "",
        turn_id=row.turn_id or "",
        created_at=timestamp(row.created_at),
    )
    json_format.ParseDict(row.data, message.data)
    return message


def _wanted(request: insight_pb2.ListTurnsRequest) -> Wanted:
    low = request.score_from if request.HasField("score_from") else None
    high = request.score_to if request.HasField("score_to") else None
    if low is not None and high is not None and high < low:
        raise invalid_field("score_to", f"{high:g} must not be below score_from {low:g}")
    name = policy_pb2.Decision.Action.Name
    return Wanted(
        actions=frozenset(action_word(name(action)) for action in request.actions),
        reason=line(request.reason, "reason") if request.HasField("reason") else None,
        channel=line(request.channel, "channel").lower(),
        score_from=low,
        score_to=high,
        loudest_signal=line(request.loudest_signal, "loudest_signal"),
        stage=request.stage,
        shadow_action=action_word(name(request.shadow_action)),
    )


def _turn_message(row: Mapping[Any, Any]) -> insight_pb2.CountedTurn:
    decision = decision_from(row)
    return insight_pb2.CountedTurn(
        turn_id=row["id"],
        conversation_id=row["conversation_id"] or "",
        tenant_id=row["tenant_id"],
        channel=row["channel"],
        decision=None if decision is None else decision_message(decision, row["scorer_version"]),
        user_message=row["user_message"] or "",
        loudest_signal=row["loudest_signal"],
        stage=row["rollout_stage"],
        completed_at=timestamp(row["completed_at"]),
        correct=row["judged_correct"],
    )


def _outcome_message(row: Mapping[Any, Any]) -> insight_pb2.CountedOutcome:
    message = insight_pb2.CountedOutcome(
        tenant_id=row["tenant_id"],
        conversation_id=row["conversation_id"],
        channel=row["channel"],
        began_at=timestamp(row["created_at"]),
    )
    if "reason" in row:
        message.handoff_id = row["id"]
        message.reason = row["reason"]
        message.claimed_by = row["claimed_by"]
        if row["waited"] is not None:
            message.waited_seconds = max(0, row["waited"])
    return message


def _token(at: datetime, id_: str) -> str:
    return page_token(at.isoformat(), id_)


def _place(token: str) -> Place | None:
    position = position_of(token, 2)
    if position is None:
        return None
    try:
        at = datetime.fromisoformat(position[0])
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise invalid_field("page_token", "take it from the last answer as it is")
    return Place(at.astimezone(UTC), position[1])
