"""The REST door: one ASGI application that turns HTTP calls into RPCs by the routes of the contracts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import orjson

from services.common import validation
from services.common.access import AccessRule
from services.common.caller import ANONYMOUS, CallContext, Caller, current_call
from services.common.errors import Kind, ServiceError
from services.gateway.auth import (
    PUBLIC,
    Gate,
    is_public,
    origin_headers,
    origin_of_page,
    preflight_headers,
    unavailable_headers,
)
from services.gateway.events import EventStreams, resume
from services.gateway.http import (
    JSON,
    Headers,
    Receive,
    Scope,
    Send,
    client_address,
    header,
    raw_path,
    read_body,
    respond,
    respond_error,
)
from services.gateway.json_mapping import invalid_json
from services.gateway.json_values import Malformed
from services.gateway.targets import DoorCall, Target
from services.gateway.transcoding.binding import Binding
from services.gateway.transcoding.request import build_request
from services.gateway.transcoding.routes import Found, OtherMethods, Routes
from services.gateway.visitor_reads import VisitorReads

MAX_BODY: Final = 1024 * 1024


class RestDoor:
    """Serves every route of `routes` at the target of its service."""

    def __init__(
        self,
        routes: Routes[Binding],
        targets: Mapping[str, Target],
        gate: Gate,
        streams: EventStreams,
        reads: VisitorReads,
        *,
        max_body: int = MAX_BODY,
    ) -> None:
        """`targets` by full service name; `reads` limits what visitors of public keys ask for beside chat."""
        self._routes = routes
        self._targets = dict(targets)
        self._gate = gate
        self._streams = streams
        self._reads = reads
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP call."""
        method: str = scope["method"]
        path = raw_path(scope)
        found = self._routes.find(method, path)
        if isinstance(found, Found):
            await self._serve(found, scope, receive, send)
        elif method == "OPTIONS" and header(scope, b"access-control-request-method"):
            await self._preflight(path, scope, send)
        elif isinstance(found, OtherMethods):
            error = ServiceError(
                Kind.UNIMPLEMENTED, f"{method} is not offered here", reason="METHOD_NOT_ALLOWED"
            )
            allow = ", ".join(found.allowed).encode("latin-1")
            await respond_error(send, error, status=405, headers=[(b"allow", allow)])
        else:
            await respond_error(send, ServiceError(Kind.NOT_FOUND, "there is nothing at this address"))

    async def _preflight(self, path: str, scope: Scope, send: Send) -> None:
        """Only calls that public keys may make are open to web pages; the key is looked at when it comes."""
        wanted = header(scope, b"access-control-request-method").upper()
        origin = header(scope, b"origin")
        found = self._routes.find(wanted, path)
        public = isinstance(found, Found) and PUBLIC in found.value.rpc.rule.scopes
        await respond(send, 204, b"", preflight_headers(origin, wanted) if public and origin else [])

    async def _serve(self, found: Found[Binding], scope: Scope, receive: Receive, send: Send) -> None:
        rpc = found.value.rpc
        origin = header(scope, b"origin")
        context = current_call() or CallContext()
        context.rpc = rpc.path[1:]
        caller: Caller | None = None
        try:
            target = self._targets[rpc.service]
            authorization = header(scope, b"authorization")
            if rpc.rule.open and not rpc.rule.planned:
                caller = ANONYMOUS
            elif target.asks_caller or rpc.rule.planned or PUBLIC in rpc.rule.scopes:
                page = origin_of_page(origin, header(scope, b"referer"), scope["method"])
                caller = await self._gate.admit(rpc.rule, authorization, page)
                context.caller = caller
                if is_public(caller, rpc.rule) and not target.asks_caller:
                    self._reads.admit(caller, client_address(scope))
            else:
                self._gate.require_bearer(authorization)
            request = await self._request(found, scope, receive)
            if target.asks_caller and caller is not None:
                context.tenant_id = rpc.rule.bind_tenant(request, caller)
                validation.check(request)
            elif rpc.rule.tenant_path:
                context.tenant_id = _tenant_named(request, rpc.rule)
            call = DoorCall(authorization, origin, caller, target.seconds, client_address(scope))
            headers = origin_headers(caller, origin)
            if rpc.streams:
                resume(request, header(scope, b"last-event-id"))
                with self._reads.streaming(caller, call.client):
                    await self._stream(target, found.value, request, call, receive, send, headers)
                return
            answer = await target.unary(rpc, request, call)
        except Malformed as fault:
            await respond_error(send, invalid_json(fault), headers=origin_headers(caller, origin))
        except ServiceError as error:
            await respond_error(
                send,
                error,
                codec=rpc.request,
                status=415 if error.reason == "CONTENT_TYPE" else None,
                headers=unavailable_headers(origin)
                if caller is None and error.kind is Kind.UNAVAILABLE and PUBLIC in rpc.rule.scopes
                else origin_headers(caller, origin),
            )
        else:
            await respond(send, 200, _print(found.value, answer), (JSON, *headers))

    async def _request(self, found: Found[Binding], scope: Scope, receive: Receive) -> Any:
        body = b""
        if found.value.body:
            _check_content_type(header(scope, b"content-type"))
            body = await read_body(scope, receive, self._max_body)
        return build_request(found.value, found.template, found.segments, scope["query_string"], body)

    async def _stream(
        self,
        target: Target,
        binding: Binding,
        request: Any,
        call: DoorCall,
        receive: Receive,
        send: Send,
        headers: Headers,
    ) -> None:
        gone = asyncio.create_task(_disconnected(receive))
        try:
            answers = target.stream(binding.rpc, request, call)
            await self._streams.send(answers, binding.rpc.response, send, gone, headers)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)


def _tenant_named(request: Any, rule: AccessRule) -> str:
    """The tenant that the call is about by its own word, for the log."""
    for name in rule.tenant_path:
        request = getattr(request, name)
    return str(request)


def _print(binding: Binding, answer: Any) -> bytes:
    codec = binding.rpc.response
    if binding.response_body:
        return orjson.dumps(codec.encode_field(answer, binding.response_body))
    return codec.print(answer)


def _check_content_type(content_type: str) -> None:
    kind, _, parameters = content_type.partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower().partition("charset=")[2]
    if kind.strip().lower() in ("", "application/json") and charset in ("", "utf-8", "utf8"):
        return
    raise ServiceError(
        Kind.INVALID, "the body must be JSON in UTF-8: content-type: application/json", reason="CONTENT_TYPE"
    )


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
