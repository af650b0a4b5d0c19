"""Deleting a tenant: gone for everybody in one unit, its rows in small batches after it.

A tenant may own millions of rows: one transaction over them would keep every other tenant's writes out for
minutes. So the unit that the operator waits for takes away what gives access (keys, channels, secrets,
users) and hides the tenant; `Housekeeping` empties it in the background, and goes on after a crash. Until
that is done the id stays taken.
"""

from __future__ import annotations

from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import invalid_field
from services.escalation.accounts import change_log
from services.escalation.accounts.change_log import current_actor
from services.escalation.store import change_log as audit_log
from services.escalation.store import tenant_removal
from services.escalation.store import tenants as store
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory, no_such_tenant


class TenantRemoval:
    """See the module."""

    def __init__(self, database: Database, directory: TenantDirectory, clock: Clock) -> None:
        """Both are opened by whoever made them."""
        self._database = database
        self._directory = directory
        self._clock = clock

    async def delete(self, tenant_id: str, *, confirm_name: str) -> None:
        """Delete a tenant; other processes know within a second.

        Raises ServiceError: NOT_FOUND; INVALID unless `confirm_name` is the tenant's name.
        """
        actor = current_actor()

        def unit(connection: Connection) -> None:
            store.lock_administration(connection)
            stored = store.find_tenant(connection, tenant_id)
            if stored is None:
                raise no_such_tenant()
            if confirm_name.strip() != stored.name:
                raise invalid_field("confirm_name", "write the tenant's name exactly, to confirm")
            now = self._clock.now()
            tenant_removal.hide(connection, tenant_id, now=now)
            audit_log.record(connection, tenant_id, actor, change_log.TENANT_DELETED, tenant_id, now=now)
            store.record_change(connection, tenant_id, store.DELETED, now=now)

        await self._database.write(unit)
        self._directory.forget(tenant_id)
