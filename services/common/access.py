"""Who may call what: reads the access rule that each RPC carries in its proto, and applies it.

Rules stand in `metachat.access.v1.rule` alone; no server keeps a list of its own. Refusals say the same
whether the tenant named exists or not.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from metachat.access.v1 import access_pb2

from services.common.caller import Caller
from services.common.errors import Kind, ServiceError
from services.common.settings import Secret

ACTING_USER: Final = "x-metachat-acting-user"
_MAX_TOKEN: Final = 4096
_MAX_ACTING_USER: Final = 128


class TokenVerifier(Protocol):
    """Knows some bearer tokens."""

    async def verify(self, token: str) -> Caller | None:
        """Who the token stands for; None where it is not known here. Raises ServiceError(UNAVAILABLE)."""
        ...


class StaticTokens:
    """The two tokens of the installation: services (INTERNAL) and operator (OPERATOR).

    Compared in constant time, and always with both. Raises ValueError when it is given no token at all.
    """

    def __init__(self, *, internal: Secret | None = None, operator: Secret | None = None) -> None:
        """An absent or empty token matches nothing."""
        known = (("internal", internal, "INTERNAL"), ("operator", operator, "OPERATOR"))
        self._known: tuple[tuple[bytes, Caller], ...] = tuple(
            (token.reveal().encode(), Caller(subject=name, scopes=frozenset({scope}), tenant_id=None))
            for name, token, scope in known
            if token
        )
        if not self._known:
            raise ValueError("StaticTokens needs the internal token, the operator token or both")

    async def verify(self, token: str) -> Caller | None:
        """The service or the operator; None for any other token."""
        given = token.encode("utf-8", "surrogatepass")
        found: Caller | None = None
        for known, caller in self._known:
            if hmac.compare_digest(known, given):
                found = caller
        return found


@dataclass(frozen=True, slots=True)
class AccessRule:
    """The rule of one RPC: any of `scopes` is enough; `tenant_path` leads to the field that names the
    tenant.
    """

    rpc: str
    scopes: frozenset[str]
    tenant_path: tuple[str, ...]
    planned: bool
    planned_with: str
    open: bool

    def admit(self, caller: Caller) -> None:
        """Raise ServiceError: FORBIDDEN unless the caller has one of the scopes, then UNIMPLEMENTED if only
        planned.
        """
        if not self.open and self.scopes.isdisjoint(caller.scopes):
            raise ServiceError(
                Kind.FORBIDDEN,
                f"{self.rpc} needs the scope {' or '.join(sorted(s.lower() for s in self.scopes))}",
                reason="SCOPE_MISSING",
                detail=f"caller {caller.subject} has {sorted(caller.scopes)}",
            )
        if self.planned:
            raise ServiceError(
                Kind.UNIMPLEMENTED, f"{self.rpc} is not implemented yet: it comes with {self.planned_with}"
            )

    def bind_tenant(self, request: Message, caller: Caller) -> str:
        """Fill in the caller's tenant where the request leaves it open; gives the tenant the request is
        about.

        Raises ServiceError(FORBIDDEN) when a caller bound to a tenant names another one.
        """
        if not self.tenant_path:
            return ""
        holder: Any = request
        for name in self.tenant_path[:-1]:
            holder = getattr(holder, name)
        field = self.tenant_path[-1]
        named: str = getattr(holder, field)
        bound = caller.tenant_id
        if bound is None or named == bound:
            return named
        if named:
            raise ServiceError(
                Kind.FORBIDDEN,
                "the token does not give access to this tenant",
                reason="OTHER_TENANT",
                detail=f"caller {caller.subject} of tenant {bound} named {named[:64]!r}",
            )
        setattr(holder, field, bound)
        return bound


class AccessPolicy:
    """Turns the metadata of a call into a caller. Verifiers are asked in order; the first that knows the
    token wins.

    It caches nothing: a verifier that asks another service keeps its own cache and answers for its age.
    """

    def __init__(self, verifiers: Sequence[TokenVerifier]) -> None:
        """Takes the verifiers, cheapest first."""
        self._verifiers = tuple(verifiers)

    async def authenticate(self, authorization: str, acting_user: str = "") -> Caller:
        """Who calls, from the `authorization` header and, for internal callers alone, the user they act for.

        Raises ServiceError(UNAUTHENTICATED) for a missing, malformed or unknown token, and what verifiers
        raise.
        """
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if not token or scheme.lower() != "bearer":
            raise ServiceError(
                Kind.UNAUTHENTICATED,
                "a bearer token is needed: Authorization: Bearer …",
                reason="TOKEN_MISSING",
            )
        if len(token) <= _MAX_TOKEN:
            for verifier in self._verifiers:
                caller = await verifier.verify(token)
                if caller is not None:
                    return _acting(caller, acting_user) if acting_user else caller
        raise ServiceError(Kind.UNAUTHENTICATED, "the bearer token is not valid", reason="TOKEN_INVALID")


class MissingRule(Exception):
    """An RPC has no access rule, or one that cannot be applied: its server must not start."""


def rule_of(method: MethodDescriptor) -> AccessRule:
    """The access rule of one RPC. Raises MissingRule where there is none, or it names no scope or no such
    field.
    """
    rpc = method.full_name
    options = method.GetOptions()
    if not options.HasExtension(access_pb2.rule):
        raise MissingRule(f"{rpc} has no (metachat.access.v1.rule): say in its proto who may call it")
    rule = options.Extensions[access_pb2.rule]
    if bool(rule.scopes) == rule.open:
        raise MissingRule(f"{rpc}: an access rule names scopes, or is open, and not both")
    path = tuple(rule.tenant_field.split(".")) if rule.tenant_field else ()
    message: Descriptor | None = method.input_type
    for index, name in enumerate(path):
        field = message.fields_by_name.get(name) if message is not None else None
        last = index == len(path) - 1
        if field is None or field.is_repeated or (last and field.type != field.TYPE_STRING):
            raise MissingRule(f"{rpc}: tenant_field {rule.tenant_field!r} names no text field of the request")
        message = field.message_type
    return AccessRule(
        rpc=f"{method.containing_service.name}.{method.name}",
        scopes=frozenset(access_pb2.Access.Scope.Name(scope) for scope in rule.scopes),
        tenant_path=path,
        planned=rule.planned,
        planned_with=rule.planned_with,
        open=rule.open,
    )


def rules_of(service: ServiceDescriptor) -> Mapping[str, AccessRule]:
    """The rules of all RPCs of a service, by method name. Raises MissingRule."""
    return {method.name: rule_of(method) for method in service.methods}


def _acting(caller: Caller, acting_user: str) -> Caller:
    if "INTERNAL" not in caller.scopes:
        return caller  # only services may speak for a person; from others the header means nothing
    if len(acting_user) > _MAX_ACTING_USER or not acting_user.isprintable():
        raise ServiceError(Kind.INVALID, f"{ACTING_USER} must be a user id", reason="ACTING_USER_INVALID")
    return replace(caller, acting_user=acting_user)
