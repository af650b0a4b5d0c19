"""Outbound: claim a message, send it, report what became of it. Never twice, never blindly again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import grpc
from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.conversation_pb2 import (
    ClaimDeliveryRequest,
    ClaimDeliveryResponse,
    ReportDeliveryRequest,
)

from services.common.errors import Kind, ServiceError, from_rpc_error
from services.common.logs import get_logger
from services.common.queue.port import Delivery
from services.worker import metrics
from services.worker.bodies import parse
from services.worker.channels.pace import GO, Pace, Wait
from services.worker.channels.port import Blame, NotSent, Part, Refused, Sender, SendResult, Sent, Unknown
from services.worker.retry import GiveUp, NextStep, Park, next_step, park_delay, retry_delay
from services.worker.settling import ComeBack, Done, Poison, PutAside, Settlement, TryAgain

if TYPE_CHECKING:
    from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceAsyncStub
    from metachat.escalation.v1.tenant_pb2 import Channel

    from services.worker.channels.typing import Typing

_log = get_logger(__name__)

_CALL: Final = 10.0
# Of a worker that is to end.
_LAST_CALL: Final = 3.0
# An attempt, for each of its parts and with all of them; the claim lasts a little longer.
_PART: Final = 30.0
_ATTEMPT: Final = 90.0
_CLAIM_MARGIN: Final = 30.0
_REPORT_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
# Of the visibility timeout: so long the result of a send is kept in hand while escalation is away. Reported
# late it is still worth more than "unknown".
_REPORT_SHARE: Final = 0.9
_PART_TRIES: Final = 4
# Shorter waits than this are waited for in hand.
_SHORT_WAIT: Final = 1.0
# Until somebody has given the account what it lacks.
_HELD: Final = 20.0
_REPEATABLE: Final = frozenset({Kind.UNAVAILABLE, Kind.DEADLINE, Kind.RATE_LIMITED, Kind.INTERNAL})
_STATES: Final = {
    Sent: ReportDeliveryRequest.SENT,
    Refused: ReportDeliveryRequest.FAILED,
    NotSent: ReportDeliveryRequest.NOT_SENT,
    Unknown: ReportDeliveryRequest.DELIVERY_UNKNOWN,
}


class OutboundHandler:
    """Handles what stands on outbound queues."""

    def __init__(
        self,
        conversations: ConversationServiceAsyncStub,
        senders: Mapping[str, Sender],
        *,
        max_retries: int,
        visibility_timeout: float,
        paces: Mapping[str, Pace],
        typing: Typing | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`senders` and `paces` by channel ("whatsapp"). `typing`: shows that a person writes."""
        self._typing = typing
        self._conversations = conversations
        self._senders = senders
        self._paces = paces
        self._max_retries = max_retries
        self._attempt = min(_ATTEMPT, visibility_timeout * 0.6)
        self._in_hand = visibility_timeout * _REPORT_SHARE
        self._chance = chance

    async def handle(self, delivery: Delivery) -> Settlement:
        """What is to become of the delivery. Raises nothing but what is a fault of ours."""
        try:
            message = parse(delivery.envelope, delivery.queue, OutboundMessage)
        except Poison as poison:
            return PutAside(str(poison))
        sender = self._senders.get(delivery.queue.channel)
        if sender is None:
            return PutAside(f"nothing sends to {delivery.queue.channel}")
        if message.typing:
            shown = self._typing is not None and self._typing.person(message)
            return Done("typing" if shown else "typing_not_shown", {"conversation": message.conversation_id})
        texts = sender.parts(message.text)
        seconds = min(self._attempt, _PART * max(1, len(texts)))
        until = time.monotonic() + self._in_hand
        turn = _Turn(self._paces[delivery.queue.channel], message, texts, seconds, until)
        held = await turn.wait(_SHORT_WAIT)
        if held.seconds > 0:
            # Not claimed: nobody waits for a report, and it costs no try.
            return ComeBack(held.seconds, f"held back: {held.reason}", {"outbound": message.outbound_id})
        request = ClaimDeliveryRequest(tenant_id=message.tenant_id, outbound_id=message.outbound_id)
        request.lease.FromMicroseconds(round((turn.seconds + _CLAIM_MARGIN) * 1e6))
        try:
            claim = await self._conversations.ClaimDelivery(request, timeout=_CALL)
        except grpc.aio.AioRpcError as error:
            turn.unused()
            return await self.failed(delivery, from_rpc_error(error))
        if claim.verdict != ClaimDeliveryResponse.SEND:
            turn.unused()
        fields: dict[str, object] = {
            "outbound": message.outbound_id,
            "conversation": message.conversation_id,
            "turn": message.turn_id,
            "kind": OutboundMessage.Kind.Name(message.kind),
        }
        match claim.verdict:
            case ClaimDeliveryResponse.SEND:
                delivery.recorded()
                return await self._send(delivery, message, claim, sender, turn, fields)
            case ClaimDeliveryResponse.BUSY:
                wait = claim.retry_after.ToMicroseconds() / 1e6
                least = park_delay(delivery.history.parked, chance=self._chance())
                return ComeBack(wait or least, "busy", fields)
            case ClaimDeliveryResponse.ALREADY_DONE | ClaimDeliveryResponse.CANCELLED:
                verdict = ClaimDeliveryResponse.Verdict.Name(claim.verdict).lower()
                return Done(verdict, fields | {"reason": claim.reason})
            case ClaimDeliveryResponse.UNKNOWN:
                return Done("delivery_unknown", fields | {"reason": claim.reason})
            case _:
                return await self.failed(
                    delivery, ServiceError(Kind.INTERNAL, "ClaimDelivery gave no verdict")
                )

    async def failed(self, delivery: Delivery, error: ServiceError) -> Settlement:
        """What follows a call to escalation that failed before anything was sent."""
        reason = f"{error.kind.name}: {error.message}"
        step = self._step(delivery, error.kind, error.retry_after)
        match step:
            case GiveUp(hand_over=hand_over):
                # Escalation does not know that its message will not be sent: it is told later.
                return PutAside(reason, told=not hand_over)
            case Park(delay=delay):
                return ComeBack(delay, reason)
            case _:
                return TryAgain(step.delay, reason)

    async def _send(
        self,
        delivery: Delivery,
        message: OutboundMessage,
        claim: ClaimDeliveryResponse,
        sender: Sender,
        turn: _Turn,
        fields: dict[str, object],
    ) -> Settlement:
        result = await self._send_parts(sender, message, claim.channel, turn, fields)
        metrics.SENDS.labels(delivery.queue.channel, type(result).__name__.lower()).inc()
        step = None
        if isinstance(result, NotSent):
            step = self._after(delivery, turn, result)
            if isinstance(step, GiveUp):
                result = Refused(result.code, f"given up after {delivery.tries + 1} tries: {result.detail}")
        failure = await self._report(message, claim, result, turn)
        if failure is not None:
            # Escalation does not know yet; its claim runs out as "unknown", and so it is not sent again.
            return ComeBack(max(self._attempt, 1.0), f"the report failed: {failure.kind.name}", fields)
        match result:
            case Sent(provider_message_id=provider_id):
                return Done("sent", fields | {"provider_message": provider_id})
            case Unknown(code=code, detail=detail):
                return Done("delivery_unknown", fields | {"code": code, "detail": detail})
            case NotSent(code=code, detail=detail) if isinstance(step, Park):
                return ComeBack(step.delay, f"{code}: {detail}", fields)
            case NotSent(code=code, detail=detail) if step is not None and not isinstance(step, GiveUp):
                return TryAgain(step.delay, f"{code}: {detail}", fields)
            case Refused(code=code, detail=detail, attention=attention):
                fields |= {"attention": attention} if attention else {}
                if step is not None:
                    return PutAside(f"{code}: {detail}", fields)
                return Done("failed", fields | {"code": code, "detail": detail})
            case _:
                raise AssertionError(f"unreachable: {result!r}")

    def _after(self, delivery: Delivery, turn: _Turn, result: NotSent) -> NextStep:
        """Only a fault of the message's own costs it a try: limits, outages and lost tokens do not."""
        least = park_delay(delivery.history.parked, chance=self._chance())
        if result.attention:
            return Park(max(_HELD, least))
        held = turn.held
        if result.blame is not Blame.PROVIDER or held > 0:
            return Park(max(held, least))
        return self._step(delivery, Kind.NOT_READY, result.retry_after)

    async def _send_parts(
        self,
        sender: Sender,
        message: OutboundMessage,
        channel: Channel,
        turn: _Turn,
        fields: dict[str, object],
    ) -> SendResult:
        """All parts in order, until one is not taken; the last part's id stands for the whole."""
        texts = turn.texts
        if not texts:
            return Refused("empty", "there is no text to send")
        deadline = time.monotonic() + turn.seconds
        result: SendResult | None = None
        for number, text in enumerate(texts):
            part = Part(text, number, len(texts))
            result = await self._send_part(sender, message, channel, part, turn, deadline)
            fields["parts"] = number + 1
            if isinstance(result, Sent):
                continue
            if part.first:
                return result
            # The customer has the beginning: sending all of it again would repeat that.
            words = f"{number} of {len(texts)} parts were sent; then {result.code}: {result.detail}"
            if isinstance(result, Unknown):
                return Unknown("partly_sent", words)
            return Refused("partly_sent", words, result.attention)
        assert result is not None  # noqa: S101 - there was at least one part
        return result

    async def _send_part(
        self,
        sender: Sender,
        message: OutboundMessage,
        channel: Channel,
        part: Part,
        turn: _Turn,
        deadline: float,
    ) -> SendResult:
        """Later parts are tried again here, because the queue would repeat the first one with them; none is
        begun past the deadline, when the claim may be over and somebody else be told that nobody knows.
        """
        tries = 0
        if not part.first:
            held = await turn.wait(deadline - time.monotonic())
            if held.seconds > 0 or time.monotonic() >= deadline:
                return NotSent("no_time", "the time for sending the message was over")
        while True:
            turn.called_at = time.time()
            result = await sender.send(message, channel, part)
            turn.went(result, self._chance())
            tries += 1
            if not isinstance(result, NotSent) or part.first or tries == _PART_TRIES:
                return result
            pause = max(retry_delay(tries - 1, chance=self._chance()), result.retry_after or 0.0, turn.held)
            if time.monotonic() + pause > deadline:
                return result
            await asyncio.sleep(pause)

    async def _report(
        self, message: OutboundMessage, claim: ClaimDeliveryResponse, result: SendResult, turn: _Turn
    ) -> ServiceError | None:
        """Tell escalation, and keep telling as long as the message may be in hand: what it is never told is
        unknown to everybody.
        """
        request = ReportDeliveryRequest(
            tenant_id=message.tenant_id,
            outbound_id=message.outbound_id,
            attempt=claim.attempt,
            state=_STATES[type(result)],
            channel=message.channel,
        )
        request.occurred_at.FromMicroseconds(round(turn.called_at * 1e6))
        if isinstance(result, Sent):
            request.provider_message_id = result.provider_message_id[:512]
        else:
            request.error_code = result.code[:64]
            request.error_detail = result.detail.encode("utf-8", "replace")[:2048].decode("utf-8", "ignore")
            if isinstance(result, Refused | NotSent):
                request.attention = result.attention
        try:
            return await self._told(request, turn)
        except asyncio.CancelledError:
            # The worker stops, or the message was in hand for too long. What is known is said once more:
            # untold it would be "unknown" to everybody.
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self._conversations.ReportDelivery(request, timeout=_LAST_CALL)
            raise

    async def _told(self, request: ReportDeliveryRequest, turn: _Turn) -> ServiceError | None:
        pause = _REPORT_PAUSE
        while True:
            try:
                await self._conversations.ReportDelivery(request, timeout=_CALL)
                return None
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
            if failure.kind not in _REPEATABLE or time.monotonic() + pause > turn.until:
                _log.error(
                    "the result of a send could not be reported",
                    outbound=request.outbound_id,
                    state=ReportDeliveryRequest.State.Name(request.state),
                    provider_message=request.provider_message_id,
                    error=f"{failure.kind.name}: {failure.message}",
                )
                return failure
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _step(self, delivery: Delivery, kind: Kind, retry_after: float | None) -> NextStep:
        return next_step(
            delivery.tries,
            self._max_retries,
            kind,
            parked=delivery.history.parked,
            chance=self._chance(),
            retry_after=retry_after,
        )


class _Turn:
    """One message's turn at its account."""

    def __init__(
        self, pace: Pace, message: OutboundMessage, texts: Sequence[str], seconds: float, until: float
    ) -> None:
        self.texts = texts
        self.seconds = seconds  # for the whole attempt
        self.until = until  # the monotonic time when the message must be out of hand
        self.called_at = time.time()  # when the provider was called last, in seconds since 1970
        self._pace = pace
        self._account = message.account_id
        self._recipient = message.contact.user_id or message.contact.address
        self.held = 0.0  # seconds that the message is to wait after what the provider said

    async def wait(self, patience: float) -> Wait:
        """GO when it may be sent, else what is still to be waited for: more than `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            wait = self._pace.ask(self._account, self._recipient)
            if wait is GO or time.monotonic() + wait.seconds > deadline:
                return wait
            await asyncio.sleep(wait.seconds)

    def unused(self) -> None:
        """It is not sent after all."""
        self._pace.unused(self._account, self._recipient)

    def went(self, result: SendResult, chance: float) -> None:
        """What the provider said to it."""
        self.held = 0.0
        if isinstance(result, Sent | Refused):
            self._pace.taken(self._account, self._recipient)
        elif isinstance(result, Unknown):
            self._pace.refused(self._account, self._recipient, Blame.PROVIDER, None, chance)
        else:
            self.held = self._pace.refused(
                self._account, self._recipient, result.blame, result.retry_after, chance
            )
