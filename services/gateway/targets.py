"""Where a transcoded call goes: to another service over gRPC, or to the gateway's own functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
from google.protobuf.message import Message

from services.common.caller import Caller
from services.common.errors import Kind, ServiceError, from_rpc_error
from services.gateway.transcoding.binding import Rpc

# Seconds after which it is worth asking again.
_COME_BACK: Final = 2.0


@dataclass(frozen=True, slots=True)
class DoorCall:
    """What the door knows about a call: the bearer as it came, and the caller where the door looked."""

    authorization: str
    origin: str
    caller: Caller | None
    seconds: float
    # Address of the client as the server knows it (behind a proxy that is trusted: the one it names).
    client: str = ""


class Target(Protocol):
    """Serves the RPCs of one service. `asks_caller`: the door lets callers in; the target does not look."""

    @property
    def asks_caller(self) -> bool: ...

    @property
    def seconds(self) -> float:
        """The time one call may take."""
        ...

    async def unary(self, rpc: Rpc, request: Message, call: DoorCall) -> Message:
        """Raises ServiceError."""
        ...

    def stream(self, rpc: Rpc, request: Message, call: DoorCall) -> AsyncIterator[Message]:
        """Raises ServiceError while it is read."""
        ...


class RemoteTarget:
    """A service behind a channel.

    `passes_bearer`: the caller's own token goes along, and that service looks at it (its channel carries no
    token of ours); else the channel's own token is used, and the door lets callers in.
    """

    def __init__(self, channel: grpc.aio.Channel, *, passes_bearer: bool, seconds: float = 10.0) -> None:
        """Takes an open channel; it stays its maker's to close."""
        self._channel = channel
        self._passes_bearer = passes_bearer
        self.seconds = seconds
        self._calls: dict[str, Any] = {}

    @property
    def asks_caller(self) -> bool:
        """Where the service does not see the caller's token, the door must know who calls."""
        return not self._passes_bearer

    def _call(self, rpc: Rpc) -> Any:
        call = self._calls.get(rpc.path)
        if call is None:
            make = self._channel.unary_stream if rpc.streams else self._channel.unary_unary
            call = self._calls[rpc.path] = make(
                rpc.path,
                request_serializer=rpc.request.message_class.SerializeToString,
                response_deserializer=rpc.response.message_class.FromString,
            )
        return call

    def _metadata(self, call: DoorCall) -> tuple[tuple[str, str], ...]:
        return (("authorization", call.authorization),) if self._passes_bearer else ()

    async def unary(self, rpc: Rpc, request: Message, call: DoorCall) -> Message:
        """One call. Raises ServiceError."""
        try:
            answer: Message = await self._call(rpc)(
                request, timeout=call.seconds, metadata=self._metadata(call)
            )
        except grpc.aio.AioRpcError as error:
            raise _away(from_rpc_error(error)) from error
        return answer

    async def stream(self, rpc: Rpc, request: Message, call: DoorCall) -> AsyncIterator[Message]:
        """The answers of one call, which is cancelled when the reader leaves. Raises ServiceError."""
        answers = self._call(rpc)(request, metadata=self._metadata(call))
        try:
            async for answer in answers:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            answers.cancel()


def _away(failure: ServiceError) -> ServiceError:
    """The failure; no answer in all the time there is means that the service is away: 503 and not 504."""
    if failure.kind is not Kind.DEADLINE:
        return failure
    return ServiceError(
        Kind.UNAVAILABLE,
        "the service does not answer; try again",
        detail=failure.detail or failure.message,
        retry_after=_COME_BACK,
    )


LocalCall = Callable[[Any, DoorCall], Awaitable[Message]]


class LocalTarget:
    """A service of the gateway itself, without a hop."""

    asks_caller = True

    def __init__(self, functions: Mapping[str, LocalCall], *, seconds: float) -> None:
        """`functions` by RPC name; each raises ServiceError."""
        self._functions = dict(functions)
        self.seconds = seconds

    async def unary(self, rpc: Rpc, request: Message, call: DoorCall) -> Message:
        """One call. Raises ServiceError."""
        function = self._functions.get(rpc.method.name)
        if function is None:
            raise ServiceError(Kind.UNIMPLEMENTED, f"{rpc.rule.rpc} is not served here")
        return await function(request, call)

    def stream(self, rpc: Rpc, request: Message, call: DoorCall) -> AsyncIterator[Message]:
        """None of ours streams yet."""
        raise ServiceError(Kind.UNIMPLEMENTED, f"{rpc.rule.rpc} is not served here")
