"""Whose bearer token it is: API keys, with a cache that a revocation empties; their making and revoking."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from services.common.access import TokenVerifier
from services.common.caller import Caller
from services.common.clock import Clock
from services.common.errors import Kind, ServiceError
from services.escalation.accounts import change_log, keys
from services.escalation.accounts.change_log import current_actor
from services.escalation.accounts.keys import StoredKey
from services.escalation.store import change_log as audit_log
from services.escalation.store import keys as store
from services.escalation.store import tenants as tenant_store
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory, no_such_tenant

_SIZE: Final = 10_000
# Only a backstop: a revocation is followed within a second.
_SECONDS_KNOWN: Final = 60.0
_SECONDS_UNKNOWN: Final = 5.0

V = TypeVar("V")


class _Cache(Generic[V]):
    """Values with an age, the least used dropped first. What is not in it is read; what is may be None."""

    def __init__(self, clock: Clock, *, size: int, seconds: float) -> None:
        self._clock = clock
        self._size = size
        self._seconds = seconds
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def get(self, name: str) -> V | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        if entry[0] <= self._clock.monotonic():
            del self._entries[name]
            return None
        self._entries.move_to_end(name)
        return entry[1]

    def put(self, name: str, value: V) -> None:
        self._entries[name] = (self._clock.monotonic() + self._seconds, value)
        self._entries.move_to_end(name)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, which: Callable[[V], bool]) -> None:
        for name in [name for name, (_, value) in self._entries.items() if which(value)]:
            del self._entries[name]

    def __len__(self) -> int:
        return len(self._entries)


class ApiKeyVerifier:
    """A TokenVerifier over the API keys in the database. A warm token costs one hash and no SQL.

    Unknown tokens are remembered for seconds, so that a caller with a wrong one does not become a load on the
    database; both memories are bounded. A key that is made or revoked, in any process, empties what is known
    of its tenant's keys.
    """

    def __init__(
        self, database: Database, directory: TenantDirectory, clock: Clock, *, cache_size: int = _SIZE
    ) -> None:
        """`directory` tells of changes; it must be open."""
        self._database = database
        self._known: _Cache[Caller] = _Cache(clock, size=cache_size, seconds=_SECONDS_KNOWN)
        self._unknown: _Cache[bool] = _Cache(clock, size=cache_size, seconds=_SECONDS_UNKNOWN)
        self._changes = 0
        self.close = directory.on_keys_change(self.forget)

    async def verify(self, token: str) -> Caller | None:
        """Who the token stands for; None for what is no good API key. Raises ServiceError(UNAVAILABLE)."""
        key_id = keys.key_id_of(token)
        if key_id is None:
            return None
        digest = keys.digest_of(token)
        caller = self._known.get(digest)
        if caller is not None or self._unknown.get(digest):
            return caller
        changes = self._changes
        key = await self._database.read(lambda c: store.find_key(c, key_id))
        found = _caller(key) if key is not None and keys.opens(token, key) else None
        # A change that came while we read may be the very one that we did not see: remember nothing then.
        if changes == self._changes:
            if found is None:
                self._unknown.put(digest, True)
            else:
                self._known.put(digest, found)
        return found

    def forget(self, tenant_id: str) -> None:
        """Forget what is known of a tenant's keys, and every unknown token: one of them may be a key now."""
        self._changes += 1
        self._known.drop(lambda caller: caller.tenant_id == tenant_id)
        self._unknown.drop(lambda _: True)

    @property
    def cached(self) -> int:
        """How many tokens are remembered."""
        return len(self._known) + len(self._unknown)


class FirstOf:
    """A TokenVerifier that asks others in order: the installation's own tokens before API keys."""

    def __init__(self, verifiers: Sequence[TokenVerifier]) -> None:
        """Cheapest first."""
        self._verifiers = tuple(verifiers)

    async def verify(self, token: str) -> Caller | None:
        """Who the token stands for; None where none of them knows it."""
        for verifier in self._verifiers:
            caller = await verifier.verify(token)
            if caller is not None:
                return caller
        return None


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as it is shown: all but its token."""

    id: str
    tenant_id: str
    name: str
    scopes: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None = None


class ApiKeys:
    """Makes, lists and revokes the keys of tenants."""

    def __init__(
        self, database: Database, directory: TenantDirectory, verifier: ApiKeyVerifier, clock: Clock
    ) -> None:
        """`verifier` is told at once what changes here."""
        self._database = database
        self._directory = directory
        self._verifier = verifier
        self._clock = clock

    async def create(
        self, tenant_id: str, *, name: str, scopes: tuple[str, ...], origins: Sequence[str]
    ) -> tuple[ListedKey, str]:
        """A new key and its token, which nobody can show again. Raises ServiceError: INVALID, NOT_FOUND."""
        keys.check_new_key(scopes, origins)
        allowed = tuple(
            dict.fromkeys(
                keys.normal_origin(origin, f"allowed_origins[{i}]") for i, origin in enumerate(origins)
            )
        )
        tenant = await self._directory.get(tenant_id)
        key_id = secrets.token_hex(keys.ID_LENGTH // 2)
        token = keys.format_token(key_id, secrets.token_bytes(keys.SECRET_BYTES))
        key = StoredKey(key_id, tenant.id, keys.digest_of(token), scopes, allowed, revoked=False)
        now = self._clock.now()
        actor = current_actor()

        def unit(connection: Connection) -> None:
            tenant_store.lock_administration(connection)
            if tenant_store.find_tenant(connection, tenant.id) is None:
                raise no_such_tenant()  # deleted since the look above
            store.insert_key(connection, key, name=name, now=now)
            tenant_store.record_change(connection, tenant.id, tenant_store.KEYS, now=now)
            audit_log.record(
                connection,
                tenant.id,
                actor,
                change_log.KEY_CREATED,
                key_id,
                now=now,
                after={"name": name, "scopes": list(scopes), "allowedOrigins": list(allowed)},
            )

        await self._database.write(unit)
        self._verifier.forget(tenant.id)
        return ListedKey(key_id, tenant.id, name, scopes, allowed, now), token

    async def list(self, tenant_id: str) -> list[ListedKey]:
        """The tenant's keys, the oldest first, revoked ones included. Raises ServiceError(NOT_FOUND)."""
        tenant = await self._directory.get(tenant_id)
        rows = await self._database.read(lambda c: store.list_keys(c, tenant.id))
        return [
            ListedKey(
                id=row.id,
                tenant_id=row.tenant_id,
                name=row.name,
                scopes=tuple(row.scopes),
                allowed_origins=tuple(row.allowed_origins),
                created_at=row.created_at,
                revoked_at=row.revoked_at,
            )
            for row in rows
        ]

    async def revoke(self, tenant_id: str, key_id: str) -> None:
        """Revoke a key; twice is as once. Raises ServiceError(NOT_FOUND), also for another tenant's key."""
        actor = current_actor()

        def unit(connection: Connection) -> None:
            tenant_store.lock_administration(connection)
            now = self._clock.now()
            revoked = store.revoke_key(connection, tenant_id, key_id, now=now)
            if revoked is None:
                raise ServiceError(Kind.NOT_FOUND, "there is no such key", reason="KEY_NOT_FOUND")
            if revoked:
                tenant_store.record_change(connection, tenant_id, tenant_store.KEYS, now=now)
                audit_log.record(
                    connection,
                    tenant_id,
                    actor,
                    change_log.KEY_REVOKED,
                    key_id,
                    now=now,
                    before={"revoked": False},
                    after={"revoked": True},
                )

        await self._database.write(unit)
        self._verifier.forget(tenant_id)


def _caller(key: StoredKey) -> Caller:
    return Caller(
        subject=f"key {key.id}",
        scopes=frozenset(key.scopes),
        tenant_id=key.tenant_id or None,
        key_id=key.id,
        allowed_origins=key.allowed_origins,
    )
