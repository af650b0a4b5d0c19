"""Who may come in, which sessions are open, and what ends them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2, user_pb2

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger
from services.common.settings import Secret
from services.console.calls import Calls
from services.console.session import Actor, Lifetime, Role, Seal, Session

_WATCH_SECONDS: Final = 3.0
_log = get_logger(__name__)


class Browser(Protocol):
    """An open page, as far as it is told to leave."""

    def run_javascript(self, code: str) -> Any: ...


@dataclass(slots=True)
class _Open:
    session: Session
    browsers: list[Browser] = field(default_factory=list)


class SignIns:
    """See the module. Sessions travel in cookies (`session.Seal`); here is only what ends them early."""

    def __init__(
        self, calls: Calls, operator_token: Secret, seal: Seal, lifetime: Lifetime, clock: Clock
    ) -> None:
        """`calls`: the console's own."""
        self._calls = calls
        self._operator_token = operator_token
        self._seal = seal
        self._lifetime = lifetime
        self._clock = clock
        self._open: dict[str, _Open] = {}
        # Session id → when it would have ended by itself.
        self._ended: dict[str, float] = {}

    async def with_password(self, email: str, password: str) -> Session:
        """Raises ServiceError: UNAUTHENTICATED, RATE_LIMITED, or UNAVAILABLE."""
        user = await self._calls.users.SignIn(user_pb2.SignInRequest(email=email, password=password))
        return Session.begin(actor_of(user), self._now())

    async def with_key(self, token: str) -> Session:
        """By an API key of the scopes AGENT or ADMIN, or the operator token. Raises ServiceError as above."""
        if self._operator_token and self._seal.fingerprint(token) == self._seal.fingerprint(
            self._operator_token.reveal()
        ):
            return Session.begin(Actor("operator", Role.OPERATOR), self._now(), self._operator_fence())
        known = await self._calls.tenants.VerifyApiKey(tenant_pb2.VerifyApiKeyRequest(token=token))
        names = {Access.Scope.Name(scope) for scope in known.scopes}
        if not known.tenant_id or not names & {"ADMIN", "AGENT"}:
            raise ServiceError(
                Kind.FORBIDDEN,
                "this key is not for people: it needs the scope agent or admin",
                reason="KEY_NO_ROLE",
            )
        role = Role.ADMIN if "ADMIN" in names else Role.AGENT
        return Session.begin(
            Actor(f"key {known.key_id}", role, known.tenant_id, key_id=known.key_id, key=token), self._now()
        )

    def current(self, cookie: str) -> Session | None:
        """The session of a cookie, if it is still one."""
        session = self._seal.open(cookie)
        if session is None or session.id in self._ended:
            return None
        if session.actor.role is Role.OPERATOR and session.fence != self._operator_fence():
            return None
        known = self._open.get(session.id)
        if known is not None and known.session.seen > session.seen:
            session = known.session
        return session if session.alive(self._now(), self._lifetime) else None

    def touched(self, session: Session) -> Session:
        """The session after the person did something."""
        session = session.touched(self._now())
        if session.id in self._open:
            self._open[session.id].session = session
        return session

    def cookie(self, session: Session) -> str:
        """What the browser keeps of it."""
        return self._seal.close(session)

    def check(self, session_id: str) -> None:
        """Raise ServiceError(UNAUTHENTICATED) where the session is over: asked before each call of a page."""
        known = self._open.get(session_id)
        over = session_id in self._ended or (
            known is not None and not known.session.alive(self._now(), self._lifetime)
        )
        if over:
            raise ServiceError(
                Kind.UNAUTHENTICATED, "you are signed out: sign in again", reason="SESSION_OVER"
            )

    def end(self, session: Session) -> None:
        """Sign out: the cookie is worthless from now on, and open pages leave."""
        self._ended[session.id] = session.began + self._lifetime.absolute
        self._send_away(session.id)

    def opened(self, session: Session, browser: Browser) -> None:
        """A page of this session is open."""
        known = self._open.setdefault(session.id, _Open(session))
        known.session = session if session.seen > known.session.seen else known.session
        known.browsers.append(browser)

    def closed(self, session_id: str, browser: Browser) -> None:
        """The page is gone."""
        known = self._open.get(session_id)
        if known is not None and browser in known.browsers:
            known.browsers.remove(browser)
            if not known.browsers:
                del self._open[session_id]

    async def run(self) -> None:
        """Watch open sessions until cancelled: what expired or was revoked is signed out within seconds."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            now = self._now()
            self._ended = {name: until for name, until in self._ended.items() if until > now}
            try:
                await self._revoke()
            except ServiceError as error:
                _log.info("sessions not checked", error=error.message)
            for known in list(self._open.values()):
                if not known.session.alive(now, self._lifetime):
                    self._send_away(known.session.id)

    async def _revoke(self) -> None:
        by_tenant: dict[str, list[Session]] = defaultdict(list)
        for known in self._open.values():
            if known.session.actor.role is not Role.OPERATOR:
                by_tenant[known.session.actor.tenant_id].append(known.session)
        for tenant_id, sessions in by_tenant.items():
            good = await self._good(tenant_id)
            for session in sessions:
                if (session.actor.id, session.actor.role) not in good:
                    _log.info("session revoked", tenant=tenant_id, actor=session.actor.id)
                    self.end(session)

    async def _good(self, tenant_id: str) -> set[tuple[str, Role]]:
        """Users and keys of a tenant that may be signed in, with their roles."""
        try:
            users = await self._calls.users.ListUsers(user_pb2.ListUsersRequest(tenant_id=tenant_id))
            keys = await self._calls.tenants.ListApiKeys(tenant_pb2.ListApiKeysRequest(tenant_id=tenant_id))
        except ServiceError as error:
            if error.kind is Kind.NOT_FOUND:
                return set()
            raise
        good = {(user.id, actor_of(user).role) for user in users.users if not user.disabled}
        for key in keys.keys:
            if not key.HasField("revoked_at"):
                good |= {(key.id, Role.ADMIN), (key.id, Role.AGENT)}
        return good

    def _send_away(self, session_id: str) -> None:
        known = self._open.get(session_id)
        for browser in list(known.browsers) if known else []:
            browser.run_javascript("metachat.signedOut()")

    def _operator_fence(self) -> str:
        return self._seal.fingerprint("operator " + self._operator_token.reveal())

    def _now(self) -> float:
        return self._clock.now().timestamp()


def actor_of(user: user_pb2.User) -> Actor:
    """A user as who acts."""
    role = Role.ADMIN if user.role == user_pb2.User.ADMIN else Role.AGENT
    return Actor(user.display_name or user.email, role, user.tenant_id, user_id=user.id)
