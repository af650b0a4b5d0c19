"""Around every HTTP call: a request id, the trace, one log line, metrics, and no stack trace outside."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram

from services.common import metrics
from services.common.caller import ANONYMOUS, REQUEST_ID, calling_as
from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger, turn_context
from services.common.telemetry import continued
from services.gateway.http import Message, Receive, Scope, Send, header, respond_error

_GIVEN_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_QUIET: Final = frozenset({"/health", "/ready", "/metrics"})
_log = get_logger(__name__)

HTTP_HANDLED: Final = Counter(
    "metachat_http_server_handled_total",
    "HTTP calls that the gateway answered, by RPC (or path of its own) and status.",
    ("call", "status"),
    registry=metrics.REGISTRY,
)
HTTP_SECONDS: Final = Histogram(
    "metachat_http_server_handling_seconds",
    "Time from the arrival of an HTTP call to the end of its answer; streams are left out.",
    ("call",),
    buckets=metrics.LATENCY_BUCKETS,
    registry=metrics.REGISTRY,
)


class RequestScope:
    """The outermost ASGI application; `app` answers, and what it raises becomes a 500 with an error id."""

    def __init__(self, app: object) -> None:
        """Wraps an ASGI application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP call; other kinds of scope go through untouched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)  # type: ignore[operator] # an ASGI app
            return
        given = header(scope, REQUEST_ID.encode())
        request_id = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(12)
        started = time.perf_counter()
        status = 0
        kind = b""

        async def send_with_id(message: Message) -> None:
            nonlocal status, kind
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (REQUEST_ID.encode(), request_id.encode())]
                kind = next((value for key, value in headers if key == b"content-type"), b"")
                message = {**message, "headers": headers}
            await send(message)

        carrier = {name: header(scope, name.encode()) for name in ("traceparent", "tracestate")}
        with (
            continued(carrier, f"HTTP {scope['method']}", SpanKind.SERVER),
            calling_as(ANONYMOUS, request_id=request_id) as call,
            turn_context(request=request_id),
        ):
            try:
                await self._app(scope, receive, send_with_id)  # type: ignore[operator] # an ASGI app
            except Exception:  # the boundary of a call: the caller gets an id, the log the rest
                error_id = secrets.token_hex(6)
                _log.exception("call failed", error_id=error_id, path=scope["path"])
                if not status:
                    await respond_error(send_with_id, _internal(error_id))
            finally:
                name = call.rpc or (scope["path"] if scope["path"] in _QUIET else "other")
                HTTP_HANDLED.labels(name, str(status)).inc()
                seconds = time.perf_counter() - started
                if not kind.startswith(b"text/event-stream"):
                    HTTP_SECONDS.labels(name).observe(seconds)
                if scope["path"] not in _QUIET:
                    # Without the query: conversation tokens may stand there.
                    _log.info(
                        "http",
                        method=scope["method"],
                        path=scope["path"][:200],
                        status=status,
                        ms=round(seconds * 1000, 1),
                        caller=call.caller.subject if call.caller is not None else "",
                    )


def _internal(error_id: str) -> ServiceError:
    return ServiceError(
        Kind.INTERNAL,
        f"something went wrong on our side; error id {error_id}",
        metadata={"error_id": error_id},
    )
