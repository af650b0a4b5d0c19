"""The people on a tenant's side: created, changed, signed in, there or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, invalid_field
from services.common.settings import Secret
from services.escalation.accounts import change_log, passwords, sign_in_limits
from services.escalation.accounts.change_log import current_actor
from services.escalation.store import change_log as audit_log
from services.escalation.store import users as store
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory

T = TypeVar("T")
# Each hash takes 19 MiB and a core.
_HASHES_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class UserChange:
    """What to change of a user; None stays as it is. `role`: "agent" or "admin"."""

    display_name: str | None = None
    role: str | None = None
    password: Secret | None = None
    disabled: bool | None = None


class Users:
    """See the module. Raises ServiceError(NOT_FOUND) for other tenants' users too."""

    def __init__(self, database: Database, directory: TenantDirectory, clock: Clock) -> None:
        """Both are opened by whoever made them."""
        self._database = database
        self._directory = directory
        self._clock = clock
        self._hashing = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._nobody: str | None = None

    async def create(
        self, tenant_id: str, *, email: str, display_name: str, role: str, password: Secret
    ) -> Row[Any]:
        """A new user. Raises ServiceError: INVALID, CONFLICT where the address is taken (not where)."""
        tenant = await self._directory.get(tenant_id)
        email = passwords.checked_email(email)
        if not role:
            raise invalid_field("role", "say what the user may do: AGENT or ADMIN")
        passwords.check_password(password.reveal(), email=email)
        hashed = await self._off_the_loop(lambda: passwords.hash_password(password.reveal()))
        actor = current_actor()
        name = display_name or email.partition("@")[0]

        def unit(connection: Connection) -> Row[Any]:
            now = self._clock.now()
            user_id = store.insert_user(
                connection,
                tenant_id=tenant.id,
                email=email,
                email_key=passwords.fold_email(email),
                display_name=name,
                role=role,
                password_hash=hashed,
                now=now,
            )
            user = None if user_id is None else store.find_user(connection, tenant.id, user_id)
            if user is None:
                raise ServiceError(
                    Kind.CONFLICT, "somebody signs in with this e-mail address already", reason="EMAIL_TAKEN"
                )
            audit_log.record(
                connection, tenant.id, actor, change_log.USER_CREATED, user.id, now=now, after=_shown(user)
            )
            return user

        return await self._database.write(unit)

    async def list(self, tenant_id: str) -> Sequence[Row[Any]]:
        """The tenant's users by name."""
        tenant = await self._directory.get(tenant_id)
        return await self._database.read(lambda c: store.list_users(c, tenant.id))

    async def update(self, tenant_id: str, user_id: str, change: UserChange) -> Row[Any]:
        """Change a user. A new password ends the wait after wrong ones; a disabled user is not available."""
        tenant = await self._directory.get(tenant_id)
        user = await self._database.read(lambda c: store.find_user(c, tenant.id, user_id))
        if user is None:
            raise no_such_user()
        values: dict[str, Any] = {}
        if change.display_name is not None:
            if not change.display_name:
                raise invalid_field("display_name", "write the name that customers see")
            values["display_name"] = change.display_name
        if change.role is not None:
            values["role"] = change.role
        if change.disabled is not None:
            values["disabled"] = change.disabled
            if change.disabled:
                values["available"] = False
        password = change.password
        if password is not None:
            passwords.check_password(password.reveal(), email=user.email)
            given = password.reveal()
            values["password_hash"] = await self._off_the_loop(lambda: passwords.hash_password(given))
        actor = current_actor()

        def unit(connection: Connection) -> Row[Any]:
            now = self._clock.now()
            old = store.find_user(connection, tenant.id, user_id, for_update=True)
            if old is None:
                raise no_such_user()
            if values:
                store.update_user(connection, user_id, **values, updated_at=now)
            if password is not None:
                store.forget_tries(connection, passwords.fold_email(old.email))
            new = store.find_user(connection, tenant.id, user_id)
            if new is None:
                raise no_such_user()
            before, after = _shown(old), _shown(new)
            if password is not None:
                after["password"] = "replaced"  # noqa: S105 - says that, never what
            if before != after:
                audit_log.record(
                    connection,
                    tenant.id,
                    actor,
                    change_log.USER_UPDATED,
                    user_id,
                    now=now,
                    before=before,
                    after=after,
                )
            return new

        return await self._database.write(unit)

    async def set_presence(self, tenant_id: str, user_id: str, *, available: bool) -> None:
        """Say that a user is ready for handoffs, or gone. Raises ServiceError(NOT_READY) for a disabled
        one.
        """
        tenant = await self._directory.get(tenant_id)

        def unit(connection: Connection) -> None:
            user = store.find_user(connection, tenant.id, user_id, for_update=True)
            if user is None:
                raise no_such_user()
            if user.disabled and available:
                raise ServiceError(Kind.NOT_READY, "this user is disabled", reason="USER_DISABLED")
            if user.available != available:
                store.update_user(connection, user_id, available=available, updated_at=self._clock.now())

        await self._database.write(unit)

    async def sign_in(self, email: str, password: Secret) -> Row[Any]:
        """The user whose name and password these are.

        An unknown name, a wrong password and a disabled user get the same answer, after the same work:
        ServiceError(UNAUTHENTICATED). So does the wait after too many: ServiceError(RATE_LIMITED), for names
        that nobody has as well.
        """
        key = passwords.fold_email(email).replace("\0", "")

        def begin(connection: Connection) -> store.Credentials | None:
            now = self._clock.now()
            failures, locked_until = store.tries_of(connection, key, now=now)
            if locked_until is not None and locked_until > now:
                raise _too_many((locked_until - now).total_seconds())
            # Counted before it is looked at: guesses made at once are as many as guesses in a row.
            wait = sign_in_limits.wait_after(failures + 1)
            store.count_try(
                connection, key, failures=failures + 1, locked_until=now + wait if wait else None, now=now
            )
            return store.credentials_of(connection, key)

        found = await self._database.write(begin)
        stored = found.password_hash if found else await self._hash_of_nobody()
        right = await self._off_the_loop(lambda: passwords.matches(password.reveal(), stored))
        if not right or found is None or found.disabled:
            raise ServiceError(
                Kind.UNAUTHENTICATED,
                "the e-mail address or the password is wrong",
                reason="SIGN_IN_REFUSED",
            )

        def end(connection: Connection) -> Row[Any] | None:
            store.forget_tries(connection, key)
            return store.user_by_id(connection, found.user_id)

        user = await self._database.write(end)
        if user is None:
            raise no_such_user()  # deleted while we hashed
        return user

    async def _hash_of_nobody(self) -> str:
        """A hash that no password is known for, so that an unknown name costs what a known one does."""
        if self._nobody is None:
            self._nobody = await self._off_the_loop(lambda: passwords.hash_password("nobody's password"))
        return self._nobody

    async def _off_the_loop(self, work: Callable[[], T]) -> T:
        async with self._hashing:
            return await asyncio.to_thread(work)


def no_such_user() -> ServiceError:
    """The error for a user that this tenant does not have."""
    return ServiceError(Kind.NOT_FOUND, "there is no such user", reason="USER_NOT_FOUND")


def _too_many(seconds: float) -> ServiceError:
    return ServiceError(
        Kind.RATE_LIMITED,
        f"too many wrong passwords: try again in {max(1, round(seconds))} s",
        reason="SIGN_IN_LOCKED",
        retry_after=seconds,
    )


def _shown(user: Row[Any]) -> dict[str, Any]:
    return {
        "email": user.email,
        "displayName": user.display_name,
        "role": user.role,
        "disabled": user.disabled,
    }
