"""Who is calling, until when the answer is wanted, and for which tenant: known for the time of one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

# Metadata key of the request id: it follows a request through all services.
REQUEST_ID: Final = "x-request-id"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a bearer token stands for.

    `scopes`: bare words of metachat.access.v1.Access.Scope ("PUBLIC", "CHAT", "AGENT", "ADMIN", "INTERNAL",
    "OPERATOR"). `tenant_id`: None = bound to no tenant. `acting_user`: the person an internal caller acts
    for; empty for all others.
    """

    subject: str
    scopes: frozenset[str]
    tenant_id: str | None
    key_id: str = ""
    allowed_origins: tuple[str, ...] = ()
    acting_user: str = ""


ANONYMOUS: Final = Caller(subject="anonymous", scopes=frozenset(), tenant_id=None)


def identity_of(caller: Caller, name: str) -> str:
    """Who it is that acts under `name`, as a text that is unique in the installation.

    "user:ID" for a person who is signed in; else "key:ID/NAME" (several people may use a key), and
    "operator:NAME" or "service:NAME" (whoever has that token says who acts).
    """
    if caller.acting_user:
        return f"user:{caller.acting_user}"
    if caller.key_id:
        return f"key:{caller.key_id}/{name}"
    return f"{'operator' if 'OPERATOR' in caller.scopes else 'service'}:{name}"


class CallContext:
    """What is known about the call being served. One object a call: it is filled in as the call is
    admitted.
    """

    __slots__ = ("caller", "deadline", "request_id", "rpc", "span", "tenant_id", "traceparent")

    def __init__(
        self,
        rpc: str = "",
        *,
        caller: Caller | None = None,
        deadline: float | None = None,
        request_id: str = "",
    ) -> None:
        """`deadline` is on time.monotonic(); None where the caller set none."""
        self.rpc = rpc
        self.caller = caller
        self.deadline = deadline
        self.request_id = request_id
        self.tenant_id = ""
        self.traceparent = ""
        self.span: Any = None  # OpenTelemetry's, where spans are recorded


_call: ContextVar[CallContext | None] = ContextVar("metachat_call", default=None)


def current_call() -> CallContext | None:
    """The call being served, or None outside of one."""
    return _call.get()


def enter_call(call: CallContext) -> None:
    """Make `call` the current one of this task (servers run each call in a task of its own)."""
    _call.set(call)


def current_caller() -> Caller:
    """Who calls. Raises LookupError outside of a call: a servicer that is used directly sets one with
    `calling_as`.
    """
    call = _call.get()
    if call is None or call.caller is None:
        raise LookupError("no call is being served here; wrap the use in calling_as(...)")
    return call.caller


@contextmanager
def calling_as(
    caller: Caller, *, deadline: float | None = None, request_id: str = ""
) -> Iterator[CallContext]:
    """Serve what runs inside on behalf of `caller`: for HTTP doors, background work and tests."""
    call = CallContext(caller=caller, deadline=deadline, request_id=request_id)
    token = _call.set(call)
    try:
        yield call
    finally:
        _call.reset(token)
