"""What administrators change: tenants, their settings and their channels; each change one atomic unit."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from metachat.escalation.v1 import settings_pb2, tenant_pb2
from sqlalchemy import Connection, Row

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, invalid_field
from services.common.settings import Secret
from services.escalation.accounts import change_log
from services.escalation.accounts.change_log import current_actor
from services.escalation.secrets.box import SecretBox, key_id_of
from services.escalation.store import change_log as audit_log
from services.escalation.store import request_log
from services.escalation.store import tenants as store
from services.escalation.store.database import Database
from services.escalation.store.records import add_event
from services.escalation.tenants import tenant_settings
from services.escalation.tenants.directory import (
    TenantDirectory,
    TenantRecord,
    channel_secret,
    no_such_tenant,
)
from services.escalation.tenants.llm_address import check_key_stays

CHANGED_EVENT: Final = "tenant.changed"
_MAX_ID: Final = 63
_ID_WORDS: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class TenantChange:
    """A change as asked for. `mask` empty: every field that is set; `etag` empty: whatever is there."""

    tenant_id: str
    name: str
    settings: settings_pb2.TenantSettings
    mask: Sequence[str]
    etag: str
    request_id: str
    changed_by: str


class Administration:
    """See the module. After a method has returned, this process answers with the change; others within a
    second.
    """

    def __init__(self, database: Database, directory: TenantDirectory, box: SecretBox, clock: Clock) -> None:
        """Everything is opened by whoever made it."""
        self._database = database
        self._directory = directory
        self._box = box
        self._clock = clock

    async def create(
        self, tenant_id: str, name: str, settings: settings_pb2.TenantSettings, *, request_id: str
    ) -> TenantRecord:
        """Create a tenant; without an id it gets one from its name, numbered where that is taken.

        Repeating a request id returns the tenant it made. Raises ServiceError: INVALID, CONFLICT for an id
        that is taken.
        """
        name = _tenant_name(name)
        merged = tenant_settings.merge(settings_pb2.TenantSettings(), settings, None)
        tenant_settings.check(merged.settings)
        wanted = tenant_id or slug(name)
        if not wanted:
            raise invalid_field("id", "the name has no letter or digit to make an id from: give one")
        actor = current_actor()

        def unit(connection: Connection) -> str:
            store.lock_administration(connection)
            log = {"tenant_id": "", "rpc": "CreateTenant", "request_id": request_id}
            made = request_log.answered(connection, tenant_pb2.Tenant, **log)
            if made is not None:
                return made.id
            now = self._clock.now()
            for number in range(1, 1000):
                chosen = wanted if number == 1 else f"{wanted[: _MAX_ID - 4]}-{number}"
                if store.insert_tenant(
                    connection,
                    chosen,
                    name=name,
                    settings=tenant_settings.to_json(merged.settings),
                    etag=_new_etag(),
                    now=now,
                ):
                    break
                if tenant_id:
                    raise ServiceError(
                        Kind.CONFLICT, f"there is a tenant {tenant_id!r} already", reason="TENANT_EXISTS"
                    )
            else:
                raise ServiceError(Kind.CONFLICT, f"too many tenants are called {name!r}: give an id")
            self._keep_api_key(connection, chosen, merged.api_key)
            store.record_change(connection, chosen, store.TENANT, now=now)
            made_of = {"name": name, "settings": tenant_settings.to_json(merged.settings)}
            audit_log.record(
                connection,
                chosen,
                actor,
                change_log.TENANT_CREATED,
                chosen,
                now=now,
                after=made_of | _secret_note(merged.api_key),
            )
            request_log.record(connection, tenant_pb2.Tenant(id=chosen), now=now, **log)
            return chosen

        created = await self._database.write(unit)
        self._directory.forget(created)
        return await self._directory.get(created)

    async def update(self, change: TenantChange) -> TenantRecord:
        """Merge a change into a tenant and check the result as a whole.

        A change that changes nothing leaves etag and policy version as they are. Raises ServiceError:
        NOT_FOUND, INVALID, STALE for an etag that is not the present one.
        """
        actor = current_actor()

        def unit(connection: Connection) -> None:
            store.lock_administration(connection)
            log = {"tenant_id": change.tenant_id, "rpc": "UpdateTenant", "request_id": change.request_id}
            if request_log.answered(connection, tenant_pb2.Tenant, **log) is not None:
                return
            stored = store.find_tenant(connection, change.tenant_id)
            if stored is None:
                raise no_such_tenant()
            if change.etag and change.etag != stored.etag:
                raise ServiceError(
                    Kind.STALE,
                    "the tenant was changed since you read it: read it again and repeat your change",
                    reason="ETAG_STALE",
                    metadata={"etag": stored.etag},
                )
            self._apply(connection, stored, change, actor)
            request_log.record(
                connection, tenant_pb2.Tenant(id=change.tenant_id), now=self._clock.now(), **log
            )

        await self._database.write(unit)
        self._directory.forget(change.tenant_id)
        return await self._directory.get(change.tenant_id)

    def _apply(
        self,
        connection: Connection,
        stored: store.StoredTenant,
        change: TenantChange,
        actor: change_log.Actor,
    ) -> None:
        current = tenant_settings.from_json(stored.settings)
        merged = tenant_settings.merge(current, change.settings, change.mask, name_given=bool(change.name))
        tenant_settings.check(merged.settings)
        check_key_stays(
            current.llm,
            merged.settings.llm,
            stored=tenant_settings.API_KEY in stored.secrets,
            given=merged.api_key is not None,
        )
        name = _tenant_name(change.name) if merged.renamed else stored.name
        settings = tenant_settings.to_json(merged.settings)
        policy_changed = settings != tenant_settings.to_json(current)
        if not policy_changed and name == stored.name and merged.api_key is None:
            return
        now = self._clock.now()
        version = stored.policy_version + policy_changed
        etag = _new_etag()
        store.update_tenant(
            connection,
            stored.id,
            name=name,
            settings=settings,
            policy_version=version,
            etag=etag,
            updated_at=now,
        )
        self._keep_api_key(connection, stored.id, merged.api_key)
        store.record_change(connection, stored.id, store.TENANT, now=now)
        add_event(
            connection,
            CHANGED_EVENT,
            tenant_id=stored.id,
            now=now,
            data={"changedBy": change.changed_by, "policyVersion": version, "etag": etag},
        )
        audit_log.record(
            connection,
            stored.id,
            actor,
            change_log.TENANT_UPDATED,
            stored.id,
            now=now,
            before={"name": stored.name, "settings": tenant_settings.to_json(current)},
            after={"name": name, "settings": settings} | _secret_note(merged.api_key),
        )

    async def put_channel(
        self,
        tenant_id: str,
        kind: str,
        *,
        account_id: str,
        access_token: Secret,
        display_name: str,
        enabled: bool | None,
    ) -> TenantRecord:
        """Add a channel or replace what is given of it: an empty token, an empty name or no `enabled` keeps
        the old.

        Raises ServiceError: NOT_FOUND, CONFLICT where the account is another tenant's (not whose).
        """
        actor = current_actor()

        def unit(connection: Connection) -> None:
            store.lock_administration(connection)
            stored = store.find_tenant(connection, tenant_id)
            if stored is None:
                raise no_such_tenant()
            if store.owner_of_account(connection, kind, account_id) not in (None, tenant_id):
                raise ServiceError(
                    Kind.CONFLICT, "this account belongs to another tenant", reason="ACCOUNT_TAKEN"
                )
            old = next((channel for channel in stored.channels if channel.kind == kind), None)
            sealed = old.access_token if old else b""
            if access_token:
                sealed = self._box.seal(access_token, tenant_id=tenant_id, name=channel_secret(kind))
            channel = store.StoredChannel(
                kind=kind,
                account_id=account_id,
                access_token=sealed,
                display_name=display_name or (old.display_name if old else ""),
                enabled=enabled if enabled is not None else (old.enabled if old else True),
            )
            if old is not None and not access_token:
                # Only a new token can have put right what was wrong.
                channel = replace(
                    channel,
                    attention=old.attention,
                    attention_detail=old.attention_detail,
                    attention_since=old.attention_since,
                )
            store.put_channel(connection, tenant_id, channel, key_id=key_id_of(sealed))
            now = self._clock.now()
            store.record_change(connection, tenant_id, store.TENANT, now=now)
            audit_log.record(
                connection,
                tenant_id,
                actor,
                change_log.CHANNEL_PUT,
                kind,
                now=now,
                before=_shown(old) if old else None,
                after=_shown(channel) | ({"accessToken": "replaced"} if access_token else {}),
            )

        await self._database.write(unit)
        self._directory.forget(tenant_id)
        return await self._directory.get(tenant_id)

    async def delete_channel(self, tenant_id: str, kind: str) -> None:
        """Remove a channel and its token. Raises ServiceError(NOT_FOUND)."""
        actor = current_actor()

        def unit(connection: Connection) -> None:
            store.lock_administration(connection)
            stored = store.find_tenant(connection, tenant_id)
            old = next((one for one in stored.channels if one.kind == kind), None) if stored else None
            if old is None:
                raise ServiceError(Kind.NOT_FOUND, f"there is no channel {kind}", reason="CHANNEL_NOT_FOUND")
            now = self._clock.now()
            store.delete_channel(connection, tenant_id, kind)
            store.record_change(connection, tenant_id, store.TENANT, now=now)
            audit_log.record(
                connection,
                tenant_id,
                actor,
                change_log.CHANNEL_DELETED,
                kind,
                now=now,
                before=_shown(old),
            )

        await self._database.write(unit)
        self._directory.forget(tenant_id)

    async def owner_of_account(self, kind: str, account_id: str) -> TenantRecord | None:
        """The tenant with this account at the provider."""
        owner = await self._database.read(lambda c: store.owner_of_account(c, kind, account_id))
        return await self._directory.get(owner) if owner is not None else None

    async def audit_entries(self, tenant_id: str, *, before: str, limit: int) -> Sequence[Row[Any]]:
        """Changes of a tenant, the newest first, from the one before the id `before` (empty: the newest).

        What is kept of a deleted tenant can still be read. Raises ServiceError(NOT_FOUND) where there is
        nothing.
        """
        rows = await self._database.read(
            lambda c: audit_log.list_entries(c, tenant_id, before=before, limit=limit)
        )
        if not rows:
            await self._directory.get(tenant_id)
        return rows

    def _keep_api_key(self, connection: Connection, tenant_id: str, api_key: str | None) -> None:
        if api_key:
            sealed = self._box.seal(Secret(api_key), tenant_id=tenant_id, name=tenant_settings.API_KEY)
            store.put_secret(
                connection, tenant_id, tenant_settings.API_KEY, sealed=sealed, key_id=self._box.key_id
            )
        elif api_key is not None:
            store.delete_secret(connection, tenant_id, tenant_settings.API_KEY)


def _shown(channel: store.StoredChannel) -> dict[str, Any]:
    """What the audit log keeps of a channel."""
    return {
        "accountId": channel.account_id,
        "displayName": channel.display_name,
        "enabled": channel.enabled,
        "accessTokenSet": bool(channel.access_token),
    }


def _secret_note(api_key: str | None) -> dict[str, Any]:
    """That the key of the model was changed, and never to what."""
    return {} if api_key is None else {"llm.apiKey": "replaced" if api_key else "removed"}


def slug(name: str) -> str:
    """An id made from a name: letters, digits and dashes; empty where nothing of it can be kept."""
    plain = unicodedata.normalize("NFKD", name.casefold().replace("đ", "d").replace("ß", "ss"))
    ascii_only = plain.encode("ascii", "ignore").decode()
    return _ID_WORDS.sub("-", ascii_only).strip("-")[:_MAX_ID].rstrip("-")


def _tenant_name(name: str) -> str:
    stripped = name.strip()
    if not stripped or not stripped.isprintable():
        raise invalid_field("name", "write the name in one visible line")
    return stripped


def _new_etag() -> str:
    return secrets.token_hex(8)
