"""What every RPC goes through on a server: trace, access, parsing, validation, the servicer, errors,
metrics, log.

Handlers are wrapped once, when the server is built, instead of by interceptors, which grpc.aio awaits anew
for each call. The wrapper also parses and serialises, so that a body that is no protobuf gets
INVALID_ARGUMENT and not UNKNOWN.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_status import rpc_status
from opentelemetry.trace import Status, StatusCode

from services.common import metrics, telemetry, validation
from services.common.access import ACTING_USER, AccessPolicy, AccessRule
from services.common.caller import ANONYMOUS, REQUEST_ID, CallContext, enter_call
from services.common.errors import Kind, ServiceError, from_rpc_error, to_status
from services.common.logs import get_logger

_MAX_REQUEST_ID: Final = 128
_log = get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class Drain:
    """Whether the server is on its way out, and the streams that then have to end by themselves."""

    def __init__(self) -> None:
        """Not draining yet."""
        self.started = False
        self._tasks: set[asyncio.Task[Any] | None] = set()

    def may_end(self, task: asyncio.Task[Any] | None) -> None:
        """From now on this stream may be ended. Raises CancelledError where it should have been already."""
        if self.started:
            raise asyncio.CancelledError
        self._tasks.add(task)

    def must_not_end(self, task: asyncio.Task[Any] | None) -> None:
        """Not now, or not any more."""
        self._tasks.discard(task)

    def end_streams(self) -> None:
        """End the streams that only the server writes to: they would outlast any grace; clients open them
        elsewhere.
        """
        self.started = True
        for task in tuple(self._tasks):
            if task is not None:
                task.cancel()


class Method:
    """One RPC of one servicer, wrapped. Raises TypeError where the servicer's function cannot be served."""

    def __init__(
        self,
        descriptor: MethodDescriptor,
        rule: AccessRule,
        handler: grpc.RpcMethodHandler[Any, Any],
        access: AccessPolicy,
        drain: Drain,
    ) -> None:
        """Everything that does not change between calls is worked out here."""
        service = descriptor.containing_service.full_name
        self.name = f"{service}/{descriptor.name}"
        self._rule = rule
        self._access = access
        self._drain = drain
        self._parse: Callable[[bytes], Message] = handler.request_deserializer  # type: ignore[assignment] # grpcio: Any
        self._serialize: Callable[[Message], bytes] = handler.response_serializer  # type: ignore[assignment] # grpcio: Any
        self._seconds = metrics.RPC_SERVER_SECONDS.labels(service, descriptor.name)
        self._handled = {
            code: metrics.RPC_SERVER_HANDLED.labels(service, descriptor.name, code.name)
            for code in grpc.StatusCode
        }
        self._behavior: Callable[..., Any] = _behavior(handler, self.name, rule.planned)
        self.handler = self._wrap(bool(handler.request_streaming), bool(handler.response_streaming))
        self._response_type = message_factory.GetMessageClass(descriptor.output_type)
        validation.warm_up(message_factory.GetMessageClass(descriptor.input_type))

    def _wrap(self, request_streaming: bool, response_streaming: bool) -> grpc.RpcMethodHandler[Any, Any]:
        if request_streaming:
            if response_streaming:
                return grpc.stream_stream_rpc_method_handler(self._serve_stream_stream)
            return grpc.stream_unary_rpc_method_handler(self._serve_stream_unary)
        if response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._serve_unary_stream)
        return grpc.unary_unary_rpc_method_handler(self._serve_unary_unary)

    async def _serve_unary_unary(self, raw: bytes, context: Context) -> bytes:
        started = time.perf_counter()
        call = CallContext(self.name)
        code = grpc.StatusCode.OK
        try:
            await self._enter(call, context)
            request = self._admit(raw, call)
            return self._encode(await self._behavior(request, context))
        except BaseException as error:
            code, status = self._settle(error, call, context)
            if status is None:
                raise
            await context.abort_with_status(status)
        finally:
            self._seconds.observe(time.perf_counter() - started)
            self._leave(code, call)

    async def _serve_stream_unary(self, raws: AsyncIterator[bytes], context: Context) -> bytes:
        call = CallContext(self.name)
        code = grpc.StatusCode.OK
        try:
            await self._enter(call, context)
            return self._encode(await self._behavior(self._admit_each(raws, call), context))
        except BaseException as error:
            code, status = self._settle(error, call, context)
            if status is None:
                raise
            await context.abort_with_status(status)
        finally:
            self._leave(code, call)

    async def _serve_unary_stream(self, raw: bytes, context: Context) -> AsyncIterator[bytes]:
        call = CallContext(self.name)
        code = grpc.StatusCode.OK
        task = asyncio.current_task()
        try:
            await self._enter(call, context)
            self._drain.may_end(task)
            async with aclosing(self._behavior(self._admit(raw, call), context)) as responses:
                async for response in responses:
                    # Cancelled while grpc itself sends, a call would end without a word to its client.
                    self._drain.must_not_end(task)
                    yield self._encode(response)
                    self._drain.may_end(task)
        except BaseException as error:
            ended = self._drain.started and isinstance(error, asyncio.CancelledError)
            if ended and not context.cancelled():
                error = ServiceError(Kind.UNAVAILABLE, "the server is stopping; open the stream again")
            code, status = self._settle(error, call, context)
            if status is None:
                raise
            await context.abort_with_status(status)
        finally:
            self._drain.must_not_end(task)
            self._leave(code, call)

    async def _serve_stream_stream(
        self, raws: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        call = CallContext(self.name)
        code = grpc.StatusCode.OK
        try:
            await self._enter(call, context)
            async with aclosing(self._behavior(self._admit_each(raws, call), context)) as responses:
                async for response in responses:
                    yield self._encode(response)
        except BaseException as error:
            code, status = self._settle(error, call, context)
            if status is None:
                raise
            await context.abort_with_status(status)
        finally:
            self._leave(code, call)

    async def _enter(self, call: CallContext, context: Context) -> None:
        """Trace, deadline and access: all that needs the metadata alone."""
        authorization = acting_user = tracestate = ""
        for key, value in context.invocation_metadata() or ():
            if key == "authorization":
                authorization = str(value)
            elif key == "traceparent":
                call.traceparent = str(value)
            elif key == "tracestate":
                tracestate = str(value)
            elif key == REQUEST_ID:
                call.request_id = str(value)[:_MAX_REQUEST_ID]
            elif key == ACTING_USER:
                acting_user = str(value)
        enter_call(call)
        call.span = telemetry.enter_rpc(self.name, call, tracestate)
        remaining: float | None = context.time_remaining()
        if remaining is not None:
            call.deadline = time.monotonic() + remaining
        if self._rule.open:
            caller = ANONYMOUS
        else:
            caller = await self._access.authenticate(authorization, acting_user)
        call.caller = caller
        self._rule.admit(caller)

    def _admit(self, raw: bytes, call: CallContext) -> Message:
        """Parse, bind the tenant, validate, in this order: a tenant that is filled in need not be given."""
        try:
            request = self._parse(raw)
        except DecodeError as error:
            raise ServiceError(
                Kind.INVALID,
                "the request is no valid message of its type (broken encoding, or text that is not UTF-8)",
                reason="MALFORMED",
                detail=str(error),
            ) from error
        if call.caller is not None:
            call.tenant_id = self._rule.bind_tenant(request, call.caller)
        validation.check(request)
        return request

    def _encode(self, response: Message) -> bytes:
        """Serialise. Generated serialisers take any message: a wrong one would arrive as garbage."""
        if type(response) is not self._response_type:
            raise TypeError(f"{self.name} answered with {type(response).__name__}")
        return self._serialize(response)

    async def _admit_each(self, raws: AsyncIterator[bytes], call: CallContext) -> AsyncIterator[Message]:
        async for raw in raws:
            yield self._admit(raw, call)

    def _settle(
        self, error: BaseException, call: CallContext, context: Context
    ) -> tuple[grpc.StatusCode, grpc.Status | None]:
        """The code a call ends with, and the status to send; None where nothing is left to send."""
        if isinstance(error, grpc.aio.AbortError):
            return _code_of(context), None
        if isinstance(error, asyncio.CancelledError) and not _being_cancelled():
            # Something the servicer awaited was cancelled, not the call: grpc.aio would never answer.
            error = RuntimeError("the servicer raised CancelledError by itself")
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            late = call.deadline is not None and time.monotonic() >= call.deadline
            return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED, None
        if isinstance(error, grpc.RpcError):
            error = _translated(error)
        if isinstance(error, ServiceError) and error.kind is not Kind.INTERNAL:
            log = _log.warning if error.kind in (Kind.UNAVAILABLE, Kind.DEADLINE) else _log.info
            log(
                "rpc refused",
                code=error.kind.row.code_name,
                reason=error.reason,
                why=error.message,
                detail=error.detail,
            )
            public = error
        else:
            # Its text may hold anything: the caller gets a number under which it stands in the log.
            error_id = secrets.token_hex(8)
            _log.error("rpc failed", error_id=error_id, detail=getattr(error, "detail", ""), exc_info=error)
            if not isinstance(error, Exception):
                return grpc.StatusCode.INTERNAL, None
            public = ServiceError(
                Kind.INTERNAL, f"internal error {error_id}", metadata={"error_id": error_id}
            )
        return _CODES[public.kind], rpc_status.to_status(to_status(public))

    def _leave(self, code: grpc.StatusCode, call: CallContext) -> None:
        self._handled[code].inc()
        span = call.span
        if span is not None:
            span.set_attribute("rpc.grpc.status_code", code.value[0])
            if code is not grpc.StatusCode.OK:
                span.set_status(Status(StatusCode.ERROR, code.name))
            span.end()


_CODES: Final = {
    kind: next(code for code in grpc.StatusCode if code.value[0] == kind.row.code) for kind in Kind
}


def _code_of(context: Context) -> grpc.StatusCode:
    """The code a servicer aborted with: grpc.aio gives a number."""
    given = context.code()
    return next((code for code in grpc.StatusCode if given in (code, code.value[0])), grpc.StatusCode.UNKNOWN)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _translated(error: grpc.RpcError) -> ServiceError:
    """A failed call to another service, as this service's own failure.

    Being late or away is passed on. Anything else (our request was refused) is our fault, not our caller's.
    """
    inner = from_rpc_error(error)
    detail = inner.detail or f"{inner!r}"
    if inner.kind in (Kind.UNAVAILABLE, Kind.DEADLINE):
        return ServiceError(inner.kind, inner.message, detail=detail, retry_after=inner.retry_after)
    return ServiceError(Kind.INTERNAL, "a nested call failed", detail=detail)


async def _never(*_: Any) -> Any:
    raise AssertionError("a planned RPC is refused before its servicer is asked")


def _behavior(handler: grpc.RpcMethodHandler[Any, Any], name: str, planned: bool) -> Callable[..., Any]:
    """The servicer's function; for a planned RPC one that is never reached."""
    if planned:
        return _never
    if handler.request_streaming:
        behavior = handler.stream_stream if handler.response_streaming else handler.stream_unary
    else:
        behavior = handler.unary_stream if handler.response_streaming else handler.unary_unary
    if behavior is None:
        raise TypeError(f"{name} has no function in its servicer")
    function = inspect.unwrap(behavior)
    if handler.response_streaming and not inspect.isasyncgenfunction(function):
        raise TypeError(f"{name} must be an `async def` that yields, or be marked planned in its proto")
    if not handler.response_streaming and not inspect.iscoroutinefunction(function):
        raise TypeError(f"{name} must be an `async def`, or be marked planned in its proto")
    return behavior
