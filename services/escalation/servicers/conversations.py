"""ConversationService: translates calls to the turn desk, the outbox and the transcripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
from metachat.escalation.v1 import conversation_pb2, conversation_pb2_grpc

from services.common.errors import invalid_field
from services.common.logs import turn_context
from services.escalation.accounts.conversation_tokens import ConversationTokens
from services.escalation.conversations import Conversations, Reader
from services.escalation.handoffs.human_replies import HumanReplies
from services.escalation.servicers.deliveries import Deliveries
from services.escalation.servicers.knowledge import passage_messages
from services.escalation.servicers.tenants import channel_message
from services.escalation.servicers.translation import (
    channel_word,
    conversation_message,
    delivery_change,
    duration,
    message_message,
    moment,
    outcome_message,
    storable,
    timestamp,
)
from services.escalation.store.turn_openings import Begun
from services.escalation.turn_desk import DraftOrder, TurnDesk
from services.escalation.turns import opening as openings
from services.escalation.turns.model import Arrival


class ConversationServicer(conversation_pb2_grpc.ConversationServiceServicer):
    """See the contracts."""

    def __init__(
        self,
        *,
        desk: TurnDesk,
        conversations: Conversations,
        deliveries: Deliveries,
        human_replies: HumanReplies,
        tokens: ConversationTokens,
    ) -> None:
        """Takes what it translates to."""
        self._desk = desk
        self._conversations = conversations
        self._deliveries = deliveries
        self._human_replies = human_replies
        self._tokens = tokens

    async def BeginTurn(
        self, request: conversation_pb2.BeginTurnRequest, context: Any
    ) -> conversation_pb2.BeginTurnResponse:
        """Records an inbound message once and says what to do with it."""
        if request.require_conversation_token and request.conversation_id:
            self._conversations.check_token(
                request.conversation_token, request.tenant_id, request.conversation_id
            )
        lease = _lease(request)
        with turn_context(tenant=request.tenant_id, message=request.message_id):
            begun, order = await self._desk.begin(_arrival(request), lease, passages=request.passages)
        return self._begun(request.tenant_id, begun, order)

    async def RenewTurn(
        self, request: conversation_pb2.RenewTurnRequest, context: Any
    ) -> conversation_pb2.RenewTurnResponse:
        """Keeps a turn that is still being drafted."""
        with turn_context(tenant=request.tenant_id, turn=request.turn_id):
            until = await self._desk.renew(request.tenant_id, request.turn_id, request.fence, _lease(request))
        return conversation_pb2.RenewTurnResponse(lease_expires_at=timestamp(until))

    async def ReleaseTurn(
        self, request: conversation_pb2.ReleaseTurnRequest, context: Any
    ) -> conversation_pb2.ReleaseTurnResponse:
        """Gives a turn back that this attempt will not complete."""
        with turn_context(tenant=request.tenant_id, turn=request.turn_id):
            released = await self._desk.release(request.tenant_id, request.turn_id, request.fence)
        return conversation_pb2.ReleaseTurnResponse(released=released)

    async def CompleteTurn(
        self, request: conversation_pb2.CompleteTurnRequest, context: Any
    ) -> conversation_pb2.TurnOutcome:
        """Scores the draft, decides and records the outcome."""
        request.draft.reply = storable(request.draft.reply)
        with turn_context(tenant=request.tenant_id, turn=request.turn_id):
            outcome = await self._desk.complete(
                request.tenant_id, request.turn_id, request.fence, request.draft
            )
        return outcome_message(outcome)

    async def FailTurn(
        self, request: conversation_pb2.FailTurnRequest, context: Any
    ) -> conversation_pb2.TurnOutcome:
        """Gives a turn up after its last try."""
        if not request.turn_id and not (request.channel and request.message_id):
            raise invalid_field("turn_id", "is needed, or channel and message_id")
        arrival = Arrival(
            request.tenant_id,
            channel_word(request.channel),
            request.message_id,
            storable(request.text),
            media_kind=request.media_kind,
            conversation_id=request.conversation_id,
            account_id=request.account_id,
            contact_address=request.contact.address,
            contact_user_id=request.contact.user_id,
            contact_name=request.contact.display_name,
            record_only=request.record_only,
            sent_at=moment(request, "sent_at"),
        )
        with turn_context(tenant=request.tenant_id, turn=request.turn_id, message=request.message_id):
            outcome = await self._desk.give_up(arrival, request.turn_id, storable(request.detail))
        return outcome_message(outcome)

    async def ClaimDelivery(
        self, request: conversation_pb2.ClaimDeliveryRequest, context: Any
    ) -> conversation_pb2.ClaimDeliveryResponse:
        """Takes one outbound message for sending."""
        return await self._deliveries.claim(request)

    async def ReportDelivery(
        self, request: conversation_pb2.ReportDeliveryRequest, context: Any
    ) -> conversation_pb2.ReportDeliveryResponse:
        """Records what became of an attempt."""
        return await self._deliveries.report(request)

    async def ListDeliveries(
        self, request: conversation_pb2.ListDeliveriesRequest, context: Any
    ) -> conversation_pb2.ListDeliveriesResponse:
        """Lists outbound messages, the newest first."""
        return await self._deliveries.list(request)

    async def SettleDelivery(
        self, request: conversation_pb2.SettleDeliveryRequest, context: Any
    ) -> conversation_pb2.OutboundDelivery:
        """Settles a message whose delivery is unknown."""
        return await self._deliveries.settle(request)

    async def RecordHumanReply(
        self, request: conversation_pb2.RecordHumanReplyRequest, context: Any
    ) -> conversation_pb2.RecordHumanReplyResponse:
        """Records what a person answered from another tool."""
        echo = Arrival(
            request.tenant_id,
            channel_word(request.channel),
            request.message_id,
            storable(request.text),
            media_kind=request.media_kind,
            account_id=request.account_id,
            contact_address=request.contact.address,
            contact_user_id=request.contact.user_id,
            contact_name=request.contact.display_name,
            sent_at=moment(request, "sent_at"),
        )
        with turn_context(tenant=request.tenant_id, message=request.message_id):
            return await self._human_replies.record(echo)

    async def GetConversation(
        self, request: conversation_pb2.GetConversationRequest, context: Any
    ) -> conversation_pb2.Conversation:
        """Returns one conversation."""
        row = await self._conversations.get(_reader(request))
        return conversation_message(row)

    async def ListConversations(
        self, request: conversation_pb2.ListConversationsRequest, context: Any
    ) -> conversation_pb2.ListConversationsResponse:
        """Lists a tenant's conversations, the last changed first."""
        status = ""
        if request.status:
            status = conversation_pb2.Conversation.Status.Name(request.status).lower()
        rows, next_page = await self._conversations.page(
            request.tenant_id,
            status=status,
            token=request.page_token,
            size=request.page_size,
            query=request.query.replace("\0", "").strip(),
        )
        return conversation_pb2.ListConversationsResponse(
            conversations=[conversation_message(row) for row in rows], next_page_token=next_page
        )

    async def ListMessages(
        self, request: conversation_pb2.ListMessagesRequest, context: Any
    ) -> conversation_pb2.ListMessagesResponse:
        """Lists the messages of a conversation, the oldest first."""
        rows, more = await self._conversations.messages(
            _reader(request), after=request.after, size=request.page_size
        )
        return conversation_pb2.ListMessagesResponse(
            messages=[message_message(row) for row in rows], more=more
        )

    async def WatchConversation(
        self, request: conversation_pb2.WatchConversationRequest, context: Any
    ) -> AsyncIterator[conversation_pb2.ConversationUpdate]:
        """Sends what happens in a conversation as it happens."""
        async for update in self._conversations.watch(_reader(request), after=request.after):
            if update.conversation is not None:
                yield conversation_pb2.ConversationUpdate(
                    conversation=conversation_message(update.conversation), cursor=update.cursor
                )
            elif update.message is not None:
                yield conversation_pb2.ConversationUpdate(
                    message=message_message(update.message), cursor=update.cursor
                )
            elif update.delivery is not None:
                yield conversation_pb2.ConversationUpdate(
                    delivery=delivery_change(update.delivery), cursor=update.cursor
                )
            elif update.typing:
                typing = conversation_pb2.PersonTyping(author=update.author, lasts=duration(update.typing))
                yield conversation_pb2.ConversationUpdate(typing=typing, cursor=update.cursor)

    def _begun(
        self, tenant_id: str, begun: Begun, order: DraftOrder | None
    ) -> conversation_pb2.BeginTurnResponse:
        response = conversation_pb2.BeginTurnResponse(
            turn_id=begun.turn_id,
            conversation_id=begun.conversation_id,
            message_id=begun.inbound_id,
            conversation_token=self._tokens.issue(tenant_id, begun.conversation_id),
        )
        match begun.opening:
            case openings.Recorded() if begun.outcome is not None:
                response.recorded.CopyFrom(outcome_message(begun.outcome))
            case openings.Escalate() if begun.outcome is not None:
                response.escalated.CopyFrom(outcome_message(begun.outcome))
            case openings.Hold():
                response.held.held_by = begun.held_by
            case openings.RecordOnly():
                response.recorded_only.held_by = begun.held_by
                response.turn_id = ""
            case openings.Behind(seconds):
                response.behind.retry_after.CopyFrom(duration(seconds))
            case openings.InProgress(seconds):
                response.in_progress.retry_after.CopyFrom(duration(seconds))
            case openings.AskForDraft(fence, lease_expires_at) if order is not None:
                response.draft.CopyFrom(
                    conversation_pb2.DraftTask(
                        fence=fence,
                        history=order.history,
                        llm=order.llm,
                        instructions=order.instructions.text,
                        marker_tag=order.instructions.marker_tag,
                        brand_name=order.brand_name,
                        tone=order.tone,
                        locale=order.locale,
                        redact=order.redact,
                        lease_expires_at=timestamp(lease_expires_at),
                        searched=order.passages is not None,
                        passages=passage_messages(order.passages or ()),
                        channel=None
                        if order.channel is None
                        else channel_message(order.channel, with_secrets=True),
                    )
                )
            case _:
                raise AssertionError(f"an opening without an answer: {begun.opening}")
        # An empty message sets its case only when it is touched.
        if isinstance(begun.opening, openings.Hold):
            response.held.SetInParent()
        elif isinstance(begun.opening, openings.RecordOnly):
            response.recorded_only.SetInParent()
        return response


def _arrival(request: conversation_pb2.BeginTurnRequest) -> Arrival:
    details = None
    if request.details_json:
        try:
            details = orjson.loads(request.details_json)
        except orjson.JSONDecodeError:
            raise invalid_field("details_json", "is not JSON") from None
    return Arrival(
        tenant_id=request.tenant_id,
        channel=channel_word(request.channel),
        message_id=request.message_id,
        text=storable(request.text),
        media_kind=request.media_kind,
        conversation_id=request.conversation_id,
        account_id=request.account_id,
        contact_address=request.contact.address,
        contact_user_id=request.contact.user_id,
        contact_name=request.contact.display_name,
        record_only=request.record_only,
        details=details,
        sent_at=moment(request, "sent_at"),
    )


def _lease(request: Any) -> timedelta | None:
    return timedelta(microseconds=request.lease.ToMicroseconds()) if request.HasField("lease") else None


def _reader(request: Any) -> Reader:
    return Reader(
        conversation_id=request.conversation_id,
        tenant_id=request.tenant_id,
        token=request.conversation_token,
    )
