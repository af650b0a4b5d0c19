"""The webchat door: one customer message in, the whole judged answer out, over HTTP and gRPC alike."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Final, cast

from metachat.chat.v1.chat_pb2 import (
    ChatMetadata,
    ChatRequest,
    ChatResponse,
    ConfidenceEscalation,
    ConnectionTest,
    PreviewRequest,
    PreviewResponse,
    SummarizeHandoffRequest,
    TestChannelRequest,
    TestResponderRequest,
)
from metachat.chat.v1.chat_pb2_grpc import ChatServiceServicer
from metachat.escalation.v1.conversation_pb2 import BeginTurnRequest, BeginTurnResponse, Contact, TurnOutcome
from metachat.escalation.v1.handoff_pb2 import HandoffSummary
from metachat.escalation.v1.policy_pb2 import Decision
from metachat.escalation.v1.tenant_pb2 import Channel

from services.assistant.turn import Finished, Postponed, run_turn
from services.common.caller import Caller, current_caller
from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, invalid_field
from services.gateway.auth import check_origin, is_public
from services.gateway.rate_limits import visitor_of

if TYPE_CHECKING:
    from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceAsyncStub

    from services.assistant.responders.port import Responders
    from services.gateway.connection_tests import ChannelTests
    from services.gateway.preview import Preview
    from services.gateway.summaries import Summaries
    from services.gateway.targets import DoorCall
    from services.gateway.tenant_limits import ChatLimits

ASSISTANT: Final = "assistant"
HUMAN: Final = "human"
# With less than this left there is no point in asking again.
_LEAST_SECONDS: Final = 0.05
_LEAST_PAUSE: Final = 0.02
# Characters of a message id that a stranger is not to guess; a UUID without dashes has 32.
_LEAST_ID: Final = 16


class Webchat:
    """Runs the turn of a webchat message."""

    def __init__(
        self,
        conversations: ConversationServiceAsyncStub,
        responders: Responders,
        clock: Clock,
        limits: ChatLimits,
        *,
        seconds: float,
    ) -> None:
        """`conversations`: over a channel with the internal token; `seconds`: longest time for one answer."""
        self._conversations = conversations
        self._responders = responders
        self._clock = clock
        self._limits = limits
        self.seconds = seconds

    async def answer(
        self, request: ChatRequest, caller: Caller, *, client: str = "", seconds: float | None = None
    ) -> ChatResponse:
        """What the customer gets; the request is validated and bound to its tenant already.

        While an earlier message of the conversation, or this very turn, is in other hands, it waits. Raises
        ServiceError: UNAVAILABLE with the time to come back after when the wait takes too long, RATE_LIMITED
        where too many came in. `client`: address of who calls.
        """
        if not request.tenant_id:
            raise invalid_field("tenant_id", "must name the tenant")
        self._limits.admit(request.tenant_id, request.conversation_id, caller, client)
        message_id = request.message_id or secrets.token_hex(16)
        begin = begin_turn(request, caller, message_id, client)
        limit = self.seconds if seconds is None else min(seconds, self.seconds)
        deadline = self._clock.monotonic() + limit
        while True:
            left = deadline - self._clock.monotonic()
            result = await run_turn(
                begin, conversations=self._conversations, responders=self._responders, timeout=left
            )
            if isinstance(result, Finished):
                return finished(message_id, result.begin, result.outcome)
            if not isinstance(result, Postponed):
                return held(message_id, result.begin)
            pause = max(result.retry_after, _LEAST_PAUSE)
            if deadline - self._clock.monotonic() - pause < _LEAST_SECONDS:
                raise ServiceError(
                    Kind.UNAVAILABLE,
                    "an earlier message of this conversation is not answered yet; send this one again",
                    reason="CONVERSATION_BUSY",
                    retry_after=pause,
                )
            await asyncio.sleep(pause)


def begin_turn(request: ChatRequest, caller: Caller, message_id: str, client: str) -> BeginTurnRequest:
    """The turn that a webchat message asks for. A public key continues only what its page began."""
    if is_public(caller):
        message_id = _own_id(request, caller, message_id, client)
    return BeginTurnRequest(
        tenant_id=request.tenant_id,
        channel=Channel.WEBCHAT,
        message_id=message_id,
        conversation_id=request.conversation_id,
        contact=Contact(address=request.user_id),
        text=request.message,
        require_conversation_token=is_public(caller),
        conversation_token=request.conversation_token,
    )


def _own_id(request: ChatRequest, caller: Caller, message_id: str, client: str) -> str:
    """The identity of a visitor's message among those of all visitors of the key.

    The holder of a public key is anybody: under the bare id of another visitor's message they would be given
    its recorded answer and the token of its conversation. In a conversation, whose token they must have, the
    id counts within it; before there is one, it counts for their address, and only if it is hard to guess.
    """
    if request.conversation_id:
        scope = ("conversation", request.conversation_id)
    elif len(message_id) >= _LEAST_ID:
        scope = ("visitor", visitor_of(caller, client)[1])
    else:
        scope = ("once", secrets.token_hex(16))
    parts = (caller.key_id, *scope, message_id)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def finished(message_id: str, begin: BeginTurnResponse, outcome: TurnOutcome) -> ChatResponse:
    """The answer of a turn that is recorded."""
    decision = outcome.decision
    if decision.action == Decision.ACTION_UNSPECIFIED:
        return held(message_id, begin)
    return ChatResponse(
        message=outcome.reply,
        conversation_id=outcome.conversation_id or begin.conversation_id,
        message_id=message_id,
        conversation_token=begin.conversation_token or None,
        metadata=ChatMetadata(handled_by=ASSISTANT, confidence_escalation=_brief(decision)),
    )


def held(message_id: str, begin: BeginTurnResponse) -> ChatResponse:
    """The answer while a person holds the conversation: nothing to say, nothing was decided."""
    return ChatResponse(
        conversation_id=begin.conversation_id,
        message_id=message_id,
        conversation_token=begin.conversation_token or None,
        metadata=ChatMetadata(handled_by=HUMAN),
    )


def _brief(decision: Decision) -> ConfidenceEscalation:
    return ConfidenceEscalation(
        enabled=decision.enabled,
        escalated=decision.escalated,
        action=decision.action,
        confidence_score=decision.score if decision.HasField("score") else None,
        confidence_level=decision.level if decision.HasField("level") else None,
        reason=decision.reason or None,
    )


class ChatServicer(ChatServiceServicer):
    """ChatService over gRPC; the server has validated the request and let the caller in."""

    def __init__(
        self, webchat: Webchat, preview: Preview, channels: ChannelTests, summaries: Summaries
    ) -> None:
        """Takes the functions that HTTP uses too."""
        self._summaries = summaries
        self._webchat = webchat
        self._preview = preview
        self._channels = channels

    async def Chat(self, request: ChatRequest, context: Any) -> ChatResponse:
        """One turn. Public keys need an `origin` in the metadata as they do over HTTP."""
        caller = current_caller()
        if is_public(caller):
            metadata = cast("tuple[tuple[str, str], ...]", context.invocation_metadata() or ())
            check_origin(caller, next((value for key, value in metadata if key == "origin"), ""))
        return await self._webchat.answer(
            request, caller, client=address_of(context.peer()), seconds=context.time_remaining()
        )

    async def Preview(self, request: PreviewRequest, context: Any) -> PreviewResponse:
        """See the contract."""
        return await self._preview.preview(request, seconds=context.time_remaining())

    async def TestResponder(self, request: TestResponderRequest, context: Any) -> ConnectionTest:
        """See the contract."""
        return await self._preview.test_responder(request, seconds=context.time_remaining())

    async def TestChannel(self, request: TestChannelRequest, _context: Any) -> ConnectionTest:
        """See the contract."""
        return await self._channels.test(request)

    async def SummarizeHandoff(self, request: SummarizeHandoffRequest, context: Any) -> HandoffSummary:
        """See the contract."""
        return await self._summaries.summarize(request, seconds=context.time_remaining())


def address_of(peer: str) -> str:
    """The address in what gRPC calls a peer ("ipv4:127.0.0.1:1234", "ipv6:[::1]:1234")."""
    family, _, rest = peer.partition(":")
    return rest.rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else peer


def http_calls(
    webchat: Webchat, previews: Preview, channels: ChannelTests, summaries: Summaries
) -> dict[str, Any]:
    """The RPCs of ChatService as the REST door calls them."""

    async def chat(request: ChatRequest, call: DoorCall) -> ChatResponse:
        if call.caller is None:
            raise ServiceError(Kind.UNAUTHENTICATED, "a bearer token is needed")
        return await webchat.answer(request, call.caller, client=call.client, seconds=call.seconds)

    async def preview(request: PreviewRequest, call: DoorCall) -> PreviewResponse:
        return await previews.preview(request, seconds=call.seconds)

    async def test_responder(request: TestResponderRequest, call: DoorCall) -> ConnectionTest:
        return await previews.test_responder(request, seconds=call.seconds)

    async def test_channel(request: TestChannelRequest, _call: DoorCall) -> ConnectionTest:
        return await channels.test(request)

    async def summarize(request: SummarizeHandoffRequest, call: DoorCall) -> HandoffSummary:
        return await summaries.summarize(request, seconds=call.seconds)

    return {
        "Chat": chat,
        "Preview": preview,
        "TestResponder": test_responder,
        "TestChannel": test_channel,
        "SummarizeHandoff": summarize,
    }
