"""Inbound: a customer's message becomes a turn, a provider's status becomes a report."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import grpc
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage
from metachat.escalation.v1.conversation_pb2 import (
    BeginTurnRequest,
    BeginTurnResponse,
    FailTurnRequest,
    RecordHumanReplyRequest,
    ReportDeliveryRequest,
)
from metachat.escalation.v1.policy_pb2 import Decision

from services.assistant.turn import Finished, HeldByPerson, Postponed, run_turn
from services.common.errors import ServiceError, from_rpc_error
from services.common.logs import get_logger
from services.common.queue.port import Delivery
from services.worker.bodies import begin_request, parse
from services.worker.retry import GiveUp, NextStep, Park, next_step, postponed_delay
from services.worker.settling import ComeBack, Done, KeepInHand, Poison, PutAside, Settlement, TryAgain

if TYPE_CHECKING:
    from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceAsyncStub

    from services.assistant.responders.port import Responders
    from services.worker.channels.typing import Typing

_log = get_logger(__name__)

_CALL: Final = 10.0
_LONGEST_TURN: Final = 180.0
_TURN_SHARE: Final = 0.9
_DETAIL_BYTES: Final = 2_048


class InboundHandler:
    """Handles what stands on inbound queues; safe to repeat, because escalation records each message once."""

    def __init__(
        self,
        conversations: ConversationServiceAsyncStub,
        responders: Responders,
        *,
        max_retries: int,
        visibility_timeout: float,
        is_enabled: Callable[[str, str], bool] = lambda _tenant, _channel: True,
        typing: Typing | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`is_enabled(tenant id, channel)`: whether the channel's messages are answered. `typing`: shows that
        they are being answered.
        """
        self._conversations = conversations
        self._responders = responders
        self._max_retries = max_retries
        # Within the visibility timeout, so that the turn is over before the message is given back.
        self._turn_seconds = min(visibility_timeout * _TURN_SHARE, _LONGEST_TURN)
        self._is_enabled = is_enabled
        self._typing = typing
        self._chance = chance

    async def handle(self, delivery: Delivery) -> Settlement:
        """What is to become of the delivery. Raises nothing but what is a fault of ours."""
        try:
            if delivery.envelope.type == DeliveryStatus.DESCRIPTOR.full_name:
                status = parse(delivery.envelope, delivery.queue, DeliveryStatus)
                return await self._report(delivery, status)
            message = parse(delivery.envelope, delivery.queue, InboundMessage)
        except Poison as poison:
            return PutAside(str(poison))
        if message.kind == InboundMessage.ECHO:
            return await self._record_human_reply(delivery, message)
        return await self._turn(delivery, message)

    async def give_up(self, delivery: Delivery, detail: str) -> Settlement:
        """Hand the conversation of a message over for good, then put the message aside.

        Where escalation answers but cannot do it, the dead letter says so, and it is made up for later. What
        a person wrote to the customer is put aside alone: nobody waits for an answer to it.
        """
        try:
            message = parse(delivery.envelope, delivery.queue, InboundMessage)
        except Poison:
            return PutAside(detail)
        if message.kind == InboundMessage.ECHO:
            return PutAside(detail)
        # As it would have been begun: should it never have been, it is recorded now.
        begin = self._begin(delivery, message)
        request = FailTurnRequest(
            tenant_id=message.tenant_id,
            channel=message.channel,
            message_id=message.message_id,
            detail=detail.encode()[:_DETAIL_BYTES].decode("utf-8", "ignore"),
            contact=begin.contact,
            text=begin.text,
            media_kind=begin.media_kind,
            account_id=begin.account_id,
            record_only=begin.record_only,
        )
        if begin.HasField("sent_at"):
            request.sent_at.CopyFrom(begin.sent_at)
        try:
            outcome = await self._conversations.FailTurn(request, timeout=_CALL)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            step = self._step(delivery, failure)
            if isinstance(step, GiveUp):
                reason = f"{detail}; the handoff failed too: {failure.kind.name} {failure.message}"
                return PutAside(reason, told=not step.hand_over)
            # The customer waits: the message is not put aside before a person is told.
            return KeepInHand(f"the handoff cannot be recorded: {failure.kind.name}")
        return PutAside(detail, {"conversation": outcome.conversation_id, "handoff": outcome.handoff_id})

    async def _turn(self, delivery: Delivery, message: InboundMessage) -> Settlement:
        begin = self._begin(delivery, message)
        begun = False

        def on_draft(answer: BeginTurnResponse) -> None:
            nonlocal begun
            begun = True
            delivery.recorded()
            if self._typing is not None:
                self._typing.begin(begin, answer)

        try:
            result = await run_turn(
                begin,
                conversations=self._conversations,
                responders=self._responders,
                timeout=self._turn_seconds,
                on_draft=on_draft,
            )
        except ServiceError as error:
            settlement = await self.failed(delivery, error, begun=begun)
            if isinstance(settlement, TryAgain) and not begun:
                return replace(settlement, in_place=True)
            return settlement
        fields: dict[str, object] = {
            "conversation": result.begin.conversation_id,
            "turn": result.begin.turn_id,
        }
        match result:
            case Finished(outcome=outcome):
                fields["action"] = Decision.Action.Name(outcome.decision.action)
                fields["reason"] = outcome.decision.reason
                if outcome.decision.HasField("score"):
                    fields["score"] = outcome.decision.score
                return Done("answered" if outcome.reply else "silent", fields)
            case HeldByPerson():
                return Done("held", fields)
            case Postponed(kind=kind, retry_after=retry_after):
                least = postponed_delay(delivery.history.parked, retry_after, chance=self._chance())
                return ComeBack(least, kind, fields)
            case _:
                return Done("recorded", fields)

    def _begin(self, delivery: Delivery, message: InboundMessage) -> BeginTurnRequest:
        enabled = self._is_enabled(message.tenant_id, delivery.queue.channel)
        return begin_request(message, enabled=enabled)

    async def _report(self, delivery: Delivery, status: DeliveryStatus) -> Settlement:
        request = ReportDeliveryRequest(
            tenant_id=status.tenant_id,
            outbound_id=status.outbound_id,
            state=ReportDeliveryRequest.State.Value(DeliveryStatus.State.Name(status.state)),
            provider_message_id=status.provider_message_id,
            error_code=status.error_code,
            error_detail=status.error_detail,
            channel=status.channel,
        )
        if status.HasField("occurred_at"):
            request.occurred_at.CopyFrom(status.occurred_at)
        if status.HasField("watermark"):
            request.watermark.CopyFrom(status.watermark)
            request.contact.CopyFrom(status.contact)
            request.account_id = status.account_id
        try:
            answer = await self._conversations.ReportDelivery(request, timeout=_CALL)
        except grpc.aio.AioRpcError as error:
            return await self.failed(delivery, from_rpc_error(error), hand_over=False)
        outcome = (
            "unknown_message" if answer.unknown_message else "status" if answer.changed else "status_known"
        )
        return Done(
            outcome, {"state": DeliveryStatus.State.Name(status.state), "outbound": status.outbound_id}
        )

    async def _record_human_reply(self, delivery: Delivery, message: InboundMessage) -> Settlement:
        request = RecordHumanReplyRequest(
            tenant_id=message.tenant_id,
            channel=message.channel,
            message_id=message.message_id,
            contact=message.contact,
            text=message.text,
            account_id=message.account_id,
            media_kind=message.media_kind,
        )
        if message.HasField("sent_at"):
            request.sent_at.CopyFrom(message.sent_at)
        try:
            answer = await self._conversations.RecordHumanReply(request, timeout=_CALL)
        except grpc.aio.AioRpcError as error:
            settlement = await self.failed(delivery, from_rpc_error(error), hand_over=False)
            if isinstance(settlement, TryAgain):
                # Behind it, the customer's next message would be drafted as if nobody had answered.
                return replace(settlement, in_place=True)
            return settlement
        return Done("human_reply", {"conversation": answer.conversation_id})

    async def failed(
        self, delivery: Delivery, error: ServiceError, *, hand_over: bool = True, begun: bool = False
    ) -> Settlement:
        """What follows a failure; with the last try, and where a customer's message is refused, the
        conversation is handed over.

        `hand_over`: whether a customer waits. `begun`: whether escalation has its turn, which would else keep
        its place before later ones.
        """
        reason = f"{error.kind.name}: {error.message}"
        step = self._step(delivery, error)
        fields: dict[str, object] = {"detail": error.detail} if error.detail else {}
        if isinstance(step, Park):
            # Escalation may not know of it: gone back to the queue, it would be overtaken by later ones.
            return KeepInHand(reason, fields)
        if not isinstance(step, GiveUp):
            return TryAgain(step.delay, reason, fields)
        if hand_over and (step.hand_over or begun):
            return await self.give_up(delivery, reason)
        return PutAside(reason, fields)

    def _step(self, delivery: Delivery, error: ServiceError) -> NextStep:
        return next_step(
            delivery.tries,
            self._max_retries,
            error.kind,
            parked=delivery.history.parked,
            chance=self._chance(),
            retry_after=error.retry_after,
        )
