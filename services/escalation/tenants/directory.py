"""The tenants as every turn sees them: in memory, and never older than a second.

A warm read makes no SQL. Every change of a tenant is a row of `tenant_changes`, written in the same unit; the
directory follows those rows, at once for changes of this process (wake-ups) and by looking a few times a
second for those of others.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from google.protobuf import json_format
from metachat.confidence.v1.confidence_pb2 import Calibration
from metachat.escalation.v1 import settings_pb2
from sqlalchemy import Connection

from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger
from services.common.settings import Secret
from services.escalation.secrets.box import SecretBox, SecretUnreadable
from services.escalation.store import tenants as store
from services.escalation.store import wakeups
from services.escalation.store.database import Database
from services.escalation.tenants import tenant_settings

_PAGE: Final = 500
_NOTHING: Final = Secret("")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A channel with its access token; `kind` is "whatsapp" or "messenger"."""

    tenant_id: str
    kind: str
    account_id: str
    access_token: Secret
    display_name: str
    enabled: bool
    # What is wrong with it and needs a person ("reconnect"), what the provider said, since when.
    attention: str = ""
    attention_detail: str = ""
    attention_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant as it is now. `settings` are shared by all who read them: never change them.

    `settings` hold what the tenant has set, without secrets; `effective` is the same with defaults filled in
    (tenant_settings.with_defaults).
    """

    id: str
    name: str
    settings: settings_pb2.TenantSettings
    effective: settings_pb2.TenantSettings
    llm_api_key: Secret
    policy_version: int
    etag: str
    created_at: datetime
    updated_at: datetime
    channels: tuple[ChannelRecord, ...] = ()
    # The tenant's own, by the scorer version whose raw scores they map; the newest first.
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def channel(self, kind: str) -> ChannelRecord | None:
        """The tenant's channel of a kind."""
        return next((channel for channel in self.channels if channel.kind == kind), None)


@dataclass(frozen=True, slots=True)
class TenantUpdate:
    """One message of a watch: a tenant as it is now (`record` None = it is gone), or the `ready` mark."""

    tenant_id: str = ""
    record: TenantRecord | None = None
    keys_changed: bool = False
    ready: bool = False


class TenantDirectory:
    """See the module. Used on one event loop; `open` before use and `close` after."""

    def __init__(self, database: Database, secrets: SecretBox, *, poll_seconds: float = 0.4) -> None:
        """`poll_seconds`: how often changes of other processes are looked for, well under a second."""
        self._database = database
        self._secrets = secrets
        self._poll_seconds = poll_seconds
        self._records: dict[str, TenantRecord] = {}
        self._loading: dict[str, asyncio.Task[TenantRecord]] = {}
        self._watches: set[_Watch] = set()
        self._key_listeners: list[Callable[[str], None]] = []
        self._seen = 0
        self._woken = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._deafen: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Begin to follow changes. Raises ServiceError(UNAVAILABLE)."""
        self._seen = await self._database.read(store.newest_change)
        self._deafen = self._database.wakeups.listen(self._on_commit)
        self._follower = asyncio.create_task(self._follow(), name="tenant-changes")

    async def close(self) -> None:
        """Stop following."""
        self._deafen()
        self._deafen = lambda: None
        tasks = [task for task in (self._follower, *self._loading.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._follower = None

    async def get(self, tenant_id: str) -> TenantRecord:
        """The tenant. Raises ServiceError(NOT_FOUND), and what the database raises."""
        record = self._records.get(tenant_id)
        return record if record is not None else await self._load(tenant_id)

    def forget(self, tenant_id: str) -> None:
        """Read the tenant anew the next time; whoever changed it calls this right after the commit."""
        self._records.pop(tenant_id, None)
        # A read that is on its way may have begun before the change: it may answer those who wait for it
        # already, and nobody after them.
        self._loading.pop(tenant_id, None)

    def on_keys_change(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener` with the tenant's id when an API key was made or revoked, anywhere. Returns what
        ends it.
        """
        self._key_listeners.append(listener)
        return lambda: self._key_listeners.remove(listener)

    async def watch(self) -> AsyncIterator[TenantUpdate]:
        """Every tenant once, the `ready` mark, then each change; changes of one tenant in a row may come as
        one.

        Raises what the database raises: the watcher begins anew.
        """
        watch = _Watch()  # before the first read, so that no change falls between
        self._watches.add(watch)
        try:
            after: str | None = ""
            while after is not None:
                page, after = await self.page(after, _PAGE)
                for record in page:
                    yield TenantUpdate(record.id, record)
            yield TenantUpdate(ready=True)
            while True:
                for tenant_id, keys_changed in (await watch.take()).items():
                    yield TenantUpdate(tenant_id, await self._get_or_none(tenant_id), keys_changed)
        finally:
            self._watches.discard(watch)

    async def page(
        self, after: str, limit: int, *, search: str = ""
    ) -> tuple[list[TenantRecord], str | None]:
        """Tenants by id from the one after `after`, read from the database, and where the next page begins.

        search: only those whose id or name holds it, whatever its case.
        None = there is no next page. A tenant whose settings cannot be read is left out, and logged.
        """

        def found(connection: Connection) -> list[store.StoredTenant]:
            if search:
                return store.search_tenants(connection, search, after=after, limit=limit + 1)
            return store.list_tenants(connection, after=after, limit=limit + 1)

        stored = await self._database.read(found)
        records: list[TenantRecord] = []
        for tenant in stored[:limit]:
            with contextlib.suppress(_SettingsUnreadable):
                records.append(self._record(tenant))
        return records, stored[limit - 1].id if len(stored) > limit else None

    async def _get_or_none(self, tenant_id: str) -> TenantRecord | None:
        try:
            return await self.get(tenant_id)
        except ServiceError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
            return None

    async def _load(self, tenant_id: str) -> TenantRecord:
        """Read a tenant; all who ask at the same time share one read."""
        task = self._loading.get(tenant_id)
        if task is None:
            task = asyncio.create_task(self._read(tenant_id))
            self._loading[tenant_id] = task
            task.add_done_callback(lambda done: self._loaded(tenant_id, done))
        # Whoever gives up waiting must not take the read away from the others.
        return await asyncio.shield(task)

    def _loaded(self, tenant_id: str, task: asyncio.Task[TenantRecord]) -> None:
        if self._loading.get(tenant_id) is task:
            del self._loading[tenant_id]
            if not task.cancelled() and task.exception() is None:
                self._records[tenant_id] = task.result()
        elif not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it as lost

    async def _read(self, tenant_id: str) -> TenantRecord:
        if not _ID.fullmatch(tenant_id):
            raise no_such_tenant()
        stored = await self._database.read(lambda c: store.find_tenant(c, tenant_id))
        if stored is None:
            raise no_such_tenant()
        return self._record(stored)

    def _record(self, stored: store.StoredTenant) -> TenantRecord:
        try:
            settings = tenant_settings.from_json(stored.settings)
        except ValueError as error:
            # Somebody wrote the row by hand. Defaults could be laxer than what was meant: rather none.
            _log.error("settings cannot be read", tenant=stored.id, reason=str(error))
            raise _SettingsUnreadable(stored.id, error) from error
        return TenantRecord(
            id=stored.id,
            name=stored.name,
            settings=settings,
            effective=tenant_settings.with_defaults(settings),
            llm_api_key=self._opened(
                stored.secrets.get(tenant_settings.API_KEY), stored.id, tenant_settings.API_KEY
            ),
            policy_version=stored.policy_version,
            etag=stored.etag,
            created_at=stored.created_at,
            updated_at=stored.updated_at,
            channels=tuple(
                ChannelRecord(
                    tenant_id=stored.id,
                    kind=channel.kind,
                    account_id=channel.account_id,
                    access_token=self._opened(channel.access_token, stored.id, channel_secret(channel.kind)),
                    display_name=channel.display_name,
                    enabled=channel.enabled,
                    attention=channel.attention,
                    attention_detail=channel.attention_detail,
                    attention_since=channel.attention_since,
                )
                for channel in stored.channels
            ),
            calibrations={
                version: json_format.ParseDict(dict(calibration), Calibration(), ignore_unknown_fields=True)
                for version, calibration in stored.calibrations.items()
            },
        )

    def _opened(self, sealed: bytes | None, tenant_id: str, name: str) -> Secret:
        if not sealed:
            return _NOTHING
        try:
            return self._secrets.open(sealed, tenant_id=tenant_id, name=name)
        except SecretUnreadable as error:
            # One secret that is lost must not take the tenant's other doors with it; what needs it fails by
            # itself.
            _log.error("secret cannot be opened", tenant=tenant_id, name=name, reason=str(error))
            return _NOTHING

    def _on_commit(self, topics: frozenset[str]) -> None:
        if wakeups.TENANTS in topics:
            self._woken.set()

    async def _follow(self) -> None:
        """Read new changes, again and again; a database that is away is waited for."""
        away = False
        while True:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it swallows a cancellation that meets the event, and `close`
                # would wait for ever.
                async with asyncio.timeout(self._poll_seconds):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._catch_up()
            except ServiceError as error:
                if not away:
                    _log.warning("tenant changes cannot be followed", reason=error.detail or error.message)
                away = True
            except Exception:  # the boundary of the loop: without it caches would grow old unnoticed
                _log.exception("following tenant changes failed")
            else:
                away = False

    async def _catch_up(self) -> None:
        for number, tenant_id, kind in await self._database.read(
            lambda c: store.changes_after(c, self._seen)
        ):
            self._seen = max(self._seen, number)
            self._tell(tenant_id, kind)

    def _tell(self, tenant_id: str, kind: str) -> None:
        keys_changed = kind in (store.KEYS, store.DELETED)
        if kind != store.KEYS:
            self.forget(tenant_id)
        if keys_changed:
            for listener in tuple(self._key_listeners):
                listener(tenant_id)
        for watch in self._watches:
            watch.add(tenant_id, keys_changed)


class _Watch:
    """What one watcher has not been told yet: tenants, and whether their keys changed. Never longer than all
    tenants.
    """

    __slots__ = ("_pending", "_waiting")

    def __init__(self) -> None:
        self._pending: dict[str, bool] = {}
        self._waiting = asyncio.Event()

    def add(self, tenant_id: str, keys_changed: bool) -> None:
        self._pending[tenant_id] = self._pending.get(tenant_id, False) or keys_changed
        self._waiting.set()

    async def take(self) -> dict[str, bool]:
        await self._waiting.wait()
        self._waiting.clear()
        taken, self._pending = self._pending, {}
        return taken


class _SettingsUnreadable(ServiceError):
    def __init__(self, tenant_id: str, error: ValueError) -> None:
        super().__init__(
            Kind.INTERNAL, "the settings of the tenant cannot be read", detail=f"tenant {tenant_id}: {error}"
        )


def channel_secret(kind: str) -> str:
    """The name under which a channel's access token is sealed."""
    return f"channel.{kind}.accessToken"


def no_such_tenant() -> ServiceError:
    """The error for a tenant that does not exist."""
    return ServiceError(Kind.NOT_FOUND, "there is no such tenant", reason="TENANT_NOT_FOUND")
