"""HTTP as ASGI has it: headers in, bodies under a limit, answers and errors out."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import orjson

from services.common.errors import DOMAIN, Kind, ServiceError
from services.gateway.json_mapping import MessageCodec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON: Final = (b"content-type", b"application/json")
# What a caller is told to wait for where the refusing service says nothing, in seconds.
RETRY_AFTER: Final = 2.0
# How many times the limit is read of a body that is too large.
_DROPPED: Final = 4
_TYPE: Final = "type.googleapis.com/google.rpc."


def header(scope: Scope, name: bytes) -> str:
    """The first header of that lower-case name; empty where there is none."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""


def client_address(scope: Scope) -> str:
    """The client's address; empty where the server knows none (a socket of another kind)."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def raw_path(scope: Scope) -> str:
    """The path as it came, percent-encoded, without the query."""
    raw = scope.get("raw_path")
    if raw is None:
        path: str = scope["path"]
        return path
    return bytes(raw).partition(b"?")[0].decode("latin-1")


class Unread(ServiceError):
    """A body that was not read to its end: the connection cannot be used again."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body, at most `limit` bytes. Raises ServiceError: TOO_LARGE; CANCELLED for one who left.

    Of a body that is too large a few times the limit are read and dropped, so that callers who read no answer
    before they have sent everything get one; beyond that it is Unread.
    """
    error = ServiceError(Kind.TOO_LARGE, f"the body is larger than {limit} bytes")
    unread = Unread(Kind.TOO_LARGE, error.message)
    declared = header(scope, b"content-length")
    if declared.isdigit() and int(declared) > limit * _DROPPED:
        raise unread
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ServiceError(Kind.CANCELLED, "the caller left")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            parts.clear()
            if size > limit * _DROPPED:
                raise unread
        else:
            parts.append(part)
        if not message.get("more_body", False):
            if size > limit:
                raise error
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def respond(send: Send, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
    """Send a whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def respond_error(
    send: Send,
    error: ServiceError,
    *,
    codec: MessageCodec | None = None,
    status: int | None = None,
    headers: Headers = (),
) -> None:
    """Send an error.

    `codec`: the request's, so that field paths become JSON names; `status`: where the table has none.
    """
    body = orjson.dumps({"error": error_object(error, codec)})
    await respond(send, status or error.kind.row.http, body, (JSON, *error_headers(error), *headers))


def error_headers(error: ServiceError) -> list[tuple[bytes, bytes]]:
    """What an error says in headers: how to authenticate, when to try again."""
    found = []
    if error.kind is Kind.UNAUTHENTICATED:
        found.append((b"www-authenticate", b'Bearer realm="metachat"'))
    if isinstance(error, Unread):
        found.append((b"connection", b"close"))
    seconds = error.retry_after
    if seconds is None and error.kind is Kind.UNAVAILABLE:
        seconds = RETRY_AFTER
    if seconds is not None:
        found.append((b"retry-after", str(max(1, math.ceil(seconds))).encode()))
    return found


def error_object(error: ServiceError, codec: MessageCodec | None = None) -> dict[str, Any]:
    """The error as callers see it: code, message, details (google.rpc types under their JSON names)."""
    message = error.message
    details: list[dict[str, Any]] = [
        {
            "@type": f"{_TYPE}ErrorInfo",
            "reason": error.reason,
            "domain": DOMAIN,
            **({"metadata": dict(error.metadata)} if error.metadata else {}),
        }
    ]
    if error.fields:
        violations = []
        for fault in error.fields:
            path = codec.json_path(fault.field) if codec is not None else fault.field
            if fault.field and message.startswith(f"{fault.field}:"):
                message = path + message[len(fault.field) :]
            violations.append({"field": path, "description": fault.description})
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": violations})
    if error.retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after:.3f}s"})
    return {"code": error.kind.row.code_name, "message": message, "details": details}
