"""Who calls: bearer tokens, checked by escalation and remembered for a moment; origins of public keys."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import grpc
from metachat.access.v1 import access_pb2
from metachat.escalation.v1.tenant_pb2 import VerifiedCaller, VerifyApiKeyRequest

from services.common.access import AccessPolicy, AccessRule
from services.common.caller import Caller
from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, from_rpc_error

if TYPE_CHECKING:
    from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceAsyncStub

PUBLIC: Final = "PUBLIC"
# A revoked key is refused everywhere within a second (TenantService.RevokeApiKey).
REMEMBERED_SECONDS: Final = 0.9
_MAX_REMEMBERED: Final = 10_000
_MAX_TOKEN: Final = 512
_VERIFY_TIMEOUT: Final = 3.0


class KeyVerifier:
    """Asks escalation about API keys.

    Answers, refusals too, are kept for less than a second; of too many the oldest go first. Callers with the
    same token at the same time share one question.
    """

    def __init__(
        self, tenants: TenantServiceAsyncStub, clock: Clock, *, seconds: float = REMEMBERED_SECONDS
    ) -> None:
        """`tenants`: a stub over a channel that carries the internal token."""
        self._tenants = tenants
        self._clock = clock
        self._seconds = seconds
        self._known: OrderedDict[str, tuple[float, Caller | None]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Caller | None]] = {}

    async def verify(self, token: str) -> Caller | None:
        """Who the token stands for; None for an unknown or revoked one. Raises ServiceError."""
        now = self._clock.monotonic()
        found = self._known.get(token)
        if found is not None and now - found[0] < self._seconds:
            return found[1]
        if not token or len(token) > _MAX_TOKEN or not token.isascii() or not token.isprintable():
            return None
        task = self._asked.get(token)
        if task is None:
            task = self._asked[token] = asyncio.create_task(self._ask(token, now))
            task.add_done_callback(lambda _: self._asked.pop(token, None))
        # One of several waiting callers that leaves must not take the answer away from the others.
        return await asyncio.shield(task)

    async def _ask(self, token: str, asked_at: float) -> Caller | None:
        try:
            answer = await self._tenants.VerifyApiKey(
                VerifyApiKeyRequest(token=token), timeout=_VERIFY_TIMEOUT
            )
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            if failure.kind is Kind.DEADLINE:
                # So short a question unanswered means that escalation is away, not that the call was long.
                raise ServiceError(
                    Kind.UNAVAILABLE, "keys cannot be checked now; try again", detail=failure.detail
                ) from error
            if failure.kind not in (Kind.UNAUTHENTICATED, Kind.NOT_FOUND, Kind.INVALID):
                raise failure from error
            caller = None
        else:
            caller = caller_of(answer)
        self._known[token] = (asked_at, caller)
        self._known.move_to_end(token)
        while len(self._known) > _MAX_REMEMBERED:
            self._known.popitem(last=False)
        return caller


def caller_of(answer: VerifiedCaller) -> Caller:
    """The caller that a verified key stands for."""
    return Caller(
        subject=f"key:{answer.key_id}",
        scopes=frozenset(access_pb2.Access.Scope.Name(scope) for scope in answer.scopes),
        tenant_id=answer.tenant_id or None,
        key_id=answer.key_id,
        allowed_origins=tuple(answer.allowed_origins),
    )


def is_public(caller: Caller, rule: AccessRule | None = None) -> bool:
    """Whether the caller may do this only as the holder of a key that stands in a web page."""
    scopes = caller.scopes if rule is None else caller.scopes & rule.scopes
    return scopes == {PUBLIC}


def origin_allowed(caller: Caller, origin: str) -> bool:
    """Whether the caller's key may be used from this web origin ("https://shop.example")."""
    wanted = origin.rstrip("/").lower()
    return bool(wanted) and any(wanted == known.rstrip("/").lower() for known in caller.allowed_origins)


def check_origin(caller: Caller, origin: str, rule: AccessRule | None = None) -> None:
    """Raise ServiceError(FORBIDDEN) for a public key that is used from elsewhere than its web origins."""
    if is_public(caller, rule) and not origin_allowed(caller, origin):
        raise ServiceError(
            Kind.FORBIDDEN,
            "this key may not be used from here: its allowed origins do not include yours",
            reason="ORIGIN_NOT_ALLOWED",
            detail=f"key {caller.key_id} from origin {origin[:200]!r}",
        )


class Gate:
    """Lets callers in over HTTP."""

    def __init__(self, policy: AccessPolicy) -> None:
        """`policy`: the one the gateway's gRPC server uses as well."""
        self._policy = policy

    async def admit(self, rule: AccessRule, authorization: str, origin: str) -> Caller:
        """The caller, once rule and origin let them in. Raises ServiceError, also for a planned RPC."""
        caller = await self._policy.authenticate(authorization)
        rule.admit(caller)
        check_origin(caller, origin, rule)
        return caller

    def require_bearer(self, authorization: str) -> None:
        """Raise ServiceError(UNAUTHENTICATED) unless there is a token for the next service to look at."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token and not (token.isascii() and token.isprintable()):
            raise ServiceError(Kind.UNAUTHENTICATED, "the bearer token is not valid", reason="TOKEN_INVALID")
        if scheme.lower() != "bearer" or not token:
            raise ServiceError(
                Kind.UNAUTHENTICATED,
                "a bearer token is needed: Authorization: Bearer …",
                reason="TOKEN_MISSING",
            )


def origin_of_page(origin: str, referer: str, method: str) -> str:
    """The web origin that a call says it comes from.

    To its own origin a browser sends no Origin with GET and HEAD (Fetch standard, "append a request Origin
    header"): there the referrer says the same. A page elsewhere cannot choose this way: with an Authorization
    header its call always carries Origin.
    """
    if origin or method not in ("GET", "HEAD"):
        return origin
    try:
        parts = urlsplit(referer)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""


def preflight_headers(origin: str, method: str) -> list[tuple[bytes, bytes]]:
    """Headers of the answer to a browser's question whether it may ask; no key is known at that moment.

    Any origin gets them, for calls that public keys may make: a preflight carries no key. They allow nothing
    but the question: the call itself is refused from a foreign origin, and without its header the page cannot
    even read the refusal. Credentials (cookies) are never allowed; there are none.
    """
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-methods", method.encode("latin-1")),
        (b"access-control-allow-headers", b"authorization, content-type, last-event-id, x-request-id"),
        (b"access-control-max-age", b"600"),
        (b"vary", b"origin"),
    ]


def origin_headers(caller: Caller | None, origin: str) -> list[tuple[bytes, bytes]]:
    """Headers that let a page of an allowed origin read the answer; none for keys without origins."""
    if caller is None or not origin or PUBLIC not in caller.scopes or not origin_allowed(caller, origin):
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"x-request-id, retry-after"),
        (b"vary", b"origin"),
    ]


def unavailable_headers(origin: str) -> list[tuple[bytes, bytes]]:
    """Headers that let any page read that keys cannot be checked now, and when to try again.

    Nothing about a key is said there; without them an outage would look like a refusal to the page.
    """
    if not origin:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"x-request-id, retry-after"),
        (b"vary", b"origin"),
    ]
