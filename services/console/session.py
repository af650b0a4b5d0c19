"""Who is signed in, for how long, and how that travels: the rules, and the sealed cookie. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from services.common.caller import Caller, identity_of
from services.common.settings import Secret

_VERSION: Final = 1
# Browsers keep 4 KB of a cookie.
_LONGEST_COOKIE: Final = 4000


class Role(StrEnum):
    """What a person may do. The operator is an admin of every tenant."""

    AGENT = "agent"
    ADMIN = "admin"
    OPERATOR = "operator"


AGENTS: Final = frozenset({Role.AGENT, Role.ADMIN, Role.OPERATOR})
ADMINS: Final = frozenset({Role.ADMIN, Role.OPERATOR})
OPERATORS: Final = frozenset({Role.OPERATOR})


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts.

    `user_id`: empty for an API key and for the operator. `tenant_id`: empty for the operator, who may see
    all. `key`: the API key's own token, with which its calls are made (see `calls`).
    """

    name: str
    role: Role
    tenant_id: str = ""
    user_id: str = ""
    key_id: str = ""
    key: str = field(default="", repr=False)

    def may_see(self, tenant_id: str) -> bool:
        """Whether the tenant is theirs."""
        return self.role is Role.OPERATOR or (bool(tenant_id) and tenant_id == self.tenant_id)

    @property
    def id(self) -> str:
        """A name for this actor that is unique in the installation."""
        return self.user_id or self.key_id or self.role.value

    def holds(self, claimed_by: str, claimed_by_id: str) -> bool:
        """Whether a claim is theirs. Of a holder who is known by name only, the name decides."""
        return claimed_by_id == self._identity if claimed_by_id else claimed_by == self.name

    @property
    def _identity(self) -> str:
        scopes = frozenset({"OPERATOR"} if self.role is Role.OPERATOR else ())
        caller = Caller(
            subject=self.name, scopes=scopes, tenant_id=None, key_id=self.key_id, acting_user=self.user_id
        )
        return identity_of(caller, self.name.strip())


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long sessions live, in seconds."""

    idle: float
    absolute: float


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. Times are seconds since 1970.

    `fence`: a fingerprint of what the sign-in rested on (the operator token, a password's mark); where it
    is no longer that, the session is over.
    """

    id: str
    actor: Actor
    began: float
    seen: float
    fence: str = ""

    @classmethod
    def begin(cls, actor: Actor, now: float, fence: str = "") -> Session:
        """A new session with an id of its own."""
        return cls(secrets.token_urlsafe(18), actor, now, now, fence)

    def alive(self, now: float, lifetime: Lifetime) -> bool:
        """Whether it has neither idled too long nor lived too long."""
        return now - self.seen < lifetime.idle and now - self.began < lifetime.absolute

    def touched(self, now: float) -> Session:
        """The session after something was done in it."""
        return replace(self, seen=max(self.seen, now))


class Seal:
    """Turns sessions into cookies that nobody else can read or make, and back.

    Keyed by METACHAT_SECRET_KEY, so that cookies outlive a restart and are good at every replica.
    """

    def __init__(self, secret_key: Secret) -> None:
        """Derives keys of its own: the installation's are used for other things too.

        Of several, comma between, the first closes and all open.
        """
        given = [each.strip() for each in secret_key.reveal().split(",") if each.strip()]
        raw = [
            hmac.new(each.encode(), b"metachat console session 1", hashlib.sha256).digest() for each in given
        ]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(each)) for each in raw])
        self._print_key = hmac.new(raw[0], b"fingerprint", hashlib.sha256).digest()

    def close(self, session: Session) -> str:
        """The cookie's value."""
        body = {"v": _VERSION, **asdict(session)}
        return self._fernet.encrypt(json.dumps(body, separators=(",", ":")).encode()).decode()

    def open(self, value: str) -> Session | None:
        """The session of a cookie; None for anything that `close` did not make."""
        if not value or len(value) > _LONGEST_COOKIE:
            return None
        try:
            body = json.loads(self._fernet.decrypt(value.encode()))
            if body.pop("v") != _VERSION:
                return None
            actor = body.pop("actor")
            return Session(actor=Actor(**{**actor, "role": Role(actor["role"])}), **body)
        except (InvalidToken, ValueError, KeyError, TypeError):
            return None

    def fingerprint(self, text: str) -> str:
        """A short keyed digest: says whether a secret is still the same, and nothing else of it."""
        return hmac.new(self._print_key, text.encode(), hashlib.sha256).hexdigest()[:24]
