"""HandoffService: requests and answers of the waiting list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final

from metachat.escalation.v1 import conversation_pb2, handoff_pb2, handoff_pb2_grpc

from services.common.caller import current_caller, identity_of
from services.common.clock import Clock
from services.common.errors import ServiceError, invalid_field
from services.escalation.handoffs import rules
from services.escalation.handoffs.priority import window_end
from services.escalation.handoffs.rules import Agent
from services.escalation.handoffs.summary import SOURCE
from services.escalation.handoffs.typing_signals import AGAIN, TypingSignals
from services.escalation.handoffs.waiting_list import Act, Rank, WaitingList
from services.escalation.handoffs.watch import HandoffWatch
from services.escalation.handoffs.written_summaries import WrittenSummaries
from services.escalation.servicers.requests import line, tenant_of
from services.escalation.servicers.reviews import ReviewRpcs
from services.escalation.servicers.translation import (
    channel_kind,
    conversation_message,
    duration,
    message_message,
    signal_messages,
    timestamp,
)
from services.escalation.store.pages import page_size, page_token, position_of
from services.escalation.store.recipients import Recipient
from services.escalation.verdicts.reviews import Reviews

_PAGE: Final = 50
# Who may give away what somebody else has: a person who has left must not keep a customer.
_OVERRULING: Final = frozenset({"ADMIN", "OPERATOR"})


class HandoffServicer(ReviewRpcs, handoff_pb2_grpc.HandoffServiceServicer):
    """See the contract."""

    def __init__(
        self,
        waiting_list: WaitingList,
        clock: Clock,
        reviews: Reviews,
        watch: HandoffWatch,
        summaries: WrittenSummaries,
        typing: TypingSignals,
    ) -> None:
        """The clock is for waiting times."""
        self._typing = typing
        self._summaries = summaries
        self._reviews = reviews
        self._watch = watch
        self._waiting_list = waiting_list
        self._clock = clock

    async def ListHandoffs(
        self, request: handoff_pb2.ListHandoffsRequest, _context: Any
    ) -> handoff_pb2.ListHandoffsResponse:
        """See the contract."""
        size = page_size(request.page_size, _PAGE)
        states = [handoff_pb2.Handoff.State.Name(state).lower() for state in request.states if state]
        if set(states) <= set(rules.OPEN):
            ranked, last_rank = await self._waiting_list.ranked(
                tenant_of(request.tenant_id), states=states, after=_rank(request.page_token), limit=size
            )
            return handoff_pb2.ListHandoffsResponse(
                handoffs=[self._message(row) for row in ranked], next_page_token=_rank_token(last_rank)
            )
        rows = await self._waiting_list.list(
            tenant_of(request.tenant_id), states=states, after=_position(request.page_token), limit=size + 1
        )
        following = ""
        if len(rows) > size:
            last = rows[size - 1]
            following = page_token(last["created_at"].isoformat(), last["id"])
        return handoff_pb2.ListHandoffsResponse(
            handoffs=[self._message(row) for row in rows[:size]], next_page_token=following
        )

    async def GetHandoff(
        self, request: handoff_pb2.GetHandoffRequest, _context: Any
    ) -> handoff_pb2.HandoffDetails:
        """See the contract."""
        tenant_id = tenant_of(request.tenant_id)
        handling = await self._waiting_list.get(tenant_id, request.handoff_id)
        written = await self._summaries.current(tenant_id, request.handoff_id, handling.transcript)
        quoted = handling.summary
        return handoff_pb2.HandoffDetails(
            handoff=self._message(handling.handoff),
            withheld_draft=handling.withheld_draft,
            signals=signal_messages(handling.signals),
            transcript=[message_message(row) for row in handling.transcript],
            conversation=conversation_message(handling.conversation),
            summary=written
            or handoff_pb2.HandoffSummary(
                asked=quoted.asked, unanswered=quoted.unanswered, tried=quoted.tried, source=SOURCE
            ),
            verdict=await self._reviews.last(handling.handoff["turn_id"] or ""),
        )

    async def StoreHandoffSummary(
        self, request: handoff_pb2.StoreHandoffSummaryRequest, _context: Any
    ) -> handoff_pb2.HandoffSummary:
        """See the contract."""
        return await self._summaries.store(request)

    async def ClaimHandoff(
        self, request: handoff_pb2.ClaimHandoffRequest, _context: Any
    ) -> handoff_pb2.Handoff:
        """See the contract."""
        return self._message(await self._waiting_list.claim(_act(request)))

    async def ReplyToCustomer(
        self, request: handoff_pb2.ReplyToCustomerRequest, _context: Any
    ) -> conversation_pb2.Message:
        """See the contract."""
        return await self._waiting_list.reply(_act(request), request.text, from_draft=request.from_draft)

    async def SignalTyping(
        self, request: handoff_pb2.SignalTypingRequest, _context: Any
    ) -> handoff_pb2.SignalTypingResponse:
        """See the contract."""
        await self._typing.signal(_act(request))
        return handoff_pb2.SignalTypingResponse(again_after=duration(AGAIN.total_seconds()))

    async def ReturnToBot(
        self, request: handoff_pb2.ReturnToBotRequest, _context: Any
    ) -> handoff_pb2.Handoff:
        """See the contract."""
        return self._message(await self._waiting_list.give_back(_act(request)))

    async def CloseConversation(
        self, request: handoff_pb2.CloseConversationRequest, _context: Any
    ) -> handoff_pb2.Handoff:
        """See the contract."""
        return self._message(await self._waiting_list.close(_act(request)))

    async def TransferHandoff(
        self, request: handoff_pb2.TransferHandoffRequest, _context: Any
    ) -> handoff_pb2.Handoff:
        """See the contract."""
        name = rules.agent_name(request.to_agent, "to_agent") if request.to_agent.strip() else ""
        to = Recipient(name, request.to_user_id)
        overrules = not current_caller().scopes.isdisjoint(_OVERRULING)
        return self._message(await self._waiting_list.transfer(_act(request), to, overrules=overrules))

    async def WatchHandoffs(
        self, request: handoff_pb2.WatchHandoffsRequest, _context: Any
    ) -> AsyncIterator[handoff_pb2.HandoffUpdate]:
        """See the contract."""
        async for change in self._watch.watch(tenant_of(request.tenant_id), request.cursor):
            yield handoff_pb2.HandoffUpdate(handoff=self._message(change.row), cursor=change.cursor)

    def _message(self, row: Any) -> handoff_pb2.Handoff:
        return handoff_message(row, self._clock.now())


def handoff_message(row: Any, now: datetime) -> handoff_pb2.Handoff:
    """A row of `store.handoffs` for callers."""
    return handoff_pb2.Handoff(
        id=row["id"],
        tenant_id=row["tenant_id"],
        conversation_id=row["conversation_id"],
        turn_id=row["turn_id"] or "",
        state=handoff_pb2.Handoff.State.Value(row["state"].upper()),
        reason=row["reason"],
        score=row["score"],
        claimed_by=row["claimed_by"],
        claimed_by_id=row["claimed_by_id"],
        created_at=timestamp(row["created_at"]),
        claimed_at=timestamp(row["claimed_at"]),
        ended_at=timestamp(row["ended_at"]),
        last_customer_message=row["last_customer_message"] or "",
        channel=channel_kind(row["channel"]),
        contact=conversation_pb2.Contact(
            address=row["contact_address"] or "",
            user_id=row["contact_user_id"] or "",
            display_name=row["contact_name"] or "",
        ),
        waiting_seconds=rules.waiting_seconds(row["created_at"], row["claimed_at"], row["ended_at"], now),
        priority=rules.priority_of(row, now),
        window_ends_at=timestamp(window_end(row["channel"], row["last_customer_message_at"])),
        high_stakes=bool(row["high_stakes"]),
        timed_out=row["timed_out_at"] is not None,
    )


def _act(request: Any) -> Act:
    name = rules.agent_name(request.agent)
    return Act(
        tenant_id=tenant_of(request.tenant_id),
        handoff_id=request.handoff_id,
        agent=Agent(name, identity_of(current_caller(), name)),
        request_id=line(getattr(request, "request_id", ""), "request_id"),
    )


def _position(token: str) -> tuple[datetime, str] | None:
    position = position_of(token, 2)
    return None if position is None else (_moment(position[0]), position[1])


def _rank(token: str) -> Rank | None:
    position = position_of(token, 3)
    if position is None:
        return None
    try:
        return Rank(_moment(position[0]), float(position[1]), position[2])
    except ValueError:
        raise _no_token() from None


def _rank_token(rank: Rank | None) -> str:
    if rank is None:
        return ""
    return page_token(rank.at.isoformat(), repr(rank.negated_priority), rank.handoff_id)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _no_token() from None
    if moment.tzinfo is None:
        raise _no_token()
    return moment


def _no_token() -> ServiceError:
    return invalid_field("page_token", "take it from the last answer as it is")
