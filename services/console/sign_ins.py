"""Who may come in, which sessions are open, and what ends them."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2, user_pb2

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger
from services.common.settings import Secret
from services.console.calls import Calls
from services.console.ended import EndedSessions
from services.console.session import Actor, Lifetime, Role, Seal, Session

_WATCH_SECONDS: Final = 3.0
# Pages wait for it: without an answer they are drawn, and say that the back end is away.
_ASK_SECONDS: Final = 3.0
_TOUCH_SECONDS: Final = 60.0
_MOST_TENANTS: Final = 2000
_log = get_logger(__name__)


class Browser(Protocol):
    """An open page, as far as it is told to leave."""

    def run_javascript(self, code: str) -> Any:
        """Run it there."""
        ...


@dataclass(frozen=True, slots=True)
class _Standing:
    """What a user or key is now; a key's role cannot change."""

    name: str
    role: Role | None
    password_mark: str

    def upholds(self, session: Session) -> bool:
        same_role = self.role is None or self.role is session.actor.role
        return same_role and self.password_mark == session.fence


@dataclass(slots=True)
class _Open:
    session: Session
    browsers: list[Browser] = field(default_factory=list)


class SignIns:
    """See the module. Sessions travel in cookies (`session.Seal`); here is only what ends them early."""

    def __init__(
        self,
        calls: Calls,
        operator_token: Secret,
        seal: Seal,
        lifetime: Lifetime,
        clock: Clock,
        ended: EndedSessions,
    ) -> None:
        """`calls`: the console's own."""
        self._calls = calls
        self._operator_token = operator_token
        self._seal = seal
        self._lifetime = lifetime
        self._clock = clock
        self._ended = ended
        self._open: dict[str, _Open] = {}
        # Tenant → who may be signed in there, and when that was asked.
        self._known: dict[str, tuple[float, asyncio.Task[dict[str, _Standing]]]] = {}

    async def with_password(self, email: str, password: str) -> Session:
        """Raises ServiceError: UNAUTHENTICATED, RATE_LIMITED, or UNAVAILABLE."""
        user = await self._calls.users.SignIn(user_pb2.SignInRequest(email=email, password=password))
        return Session.begin(actor_of(user), self._now(), user.password_mark)

    async def with_key(self, token: str) -> Session:
        """By an API key of the scopes AGENT or ADMIN, or the operator token. Raises ServiceError as above."""
        operator = self._operator_token.reveal()
        if operator and hmac.compare_digest(token.encode(), operator.encode()):
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
        standing = (await self._standings(known.tenant_id, fresh=True)).get(known.key_id)
        name = standing.name if standing else known.key_id
        actor = Actor(name, role, known.tenant_id, key_id=known.key_id, key=token)
        return Session.begin(actor, self._now())

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

    def due(self, session: Session) -> bool:
        """Whether its cookie should be written anew: not for every page."""
        return self._now() - session.seen > _TOUCH_SECONDS

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

    async def verify(self, session: Session) -> bool:
        """Whether the user or key is still what it was at the sign-in, as of a few seconds ago.

        Raises ServiceError(UNAVAILABLE), upon which the session stays: nothing can be done in it meanwhile.
        """
        actor = session.actor
        if actor.role is Role.OPERATOR:
            return True
        # What was asked seconds ago knows nothing of who was made, or given a password, since: nobody is
        # sent away on its word.
        for fresh in (False, True):
            standing = (await self._standings(actor.tenant_id, fresh=fresh)).get(actor.id)
            if standing is not None and standing.upholds(session):
                return True
        _log.info("session revoked", tenant=actor.tenant_id, actor=actor.id)
        self.end(session)
        return False

    def end(self, session: Session) -> None:
        """Sign out: the cookie is worthless from now on, and open pages leave."""
        self._ended.add(session.id, session.began + self._lifetime.absolute)
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
            self._ended.forget(now)
            for known in list(self._open.values()):
                if not known.session.alive(now, self._lifetime):
                    self._send_away(known.session.id)
                    continue
                try:
                    await self.verify(known.session)
                except ServiceError as error:
                    _log.info("session not checked", error=error.message)

    async def _standings(self, tenant_id: str, *, fresh: bool = False) -> dict[str, _Standing]:
        """Who may be signed in at a tenant, by id; asked once for all who want to know within seconds."""
        now = self._clock.monotonic()
        known = self._known.get(tenant_id)
        if fresh or known is None or now - known[0] > _WATCH_SECONDS * 0.9:
            if len(self._known) > _MOST_TENANTS:
                self._known.clear()
            known = (now, asyncio.create_task(self._ask(tenant_id)))
            self._known[tenant_id] = known
        return await asyncio.shield(known[1])

    async def _ask(self, tenant_id: str) -> dict[str, _Standing]:
        try:
            users, keys = await asyncio.gather(
                self._calls.users.ListUsers(
                    user_pb2.ListUsersRequest(tenant_id=tenant_id), timeout=_ASK_SECONDS
                ),
                self._calls.tenants.ListApiKeys(
                    tenant_pb2.ListApiKeysRequest(tenant_id=tenant_id), timeout=_ASK_SECONDS
                ),
            )
        except ServiceError as error:
            if error.kind is Kind.NOT_FOUND:
                return {}
            raise
        found = {
            user.id: _Standing(user.display_name, actor_of(user).role, user.password_mark)
            for user in users.users
            if not user.disabled
        }
        for key in keys.keys:
            if not key.HasField("revoked_at"):
                found[key.id] = _Standing(key.name, None, "")
        return found

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
