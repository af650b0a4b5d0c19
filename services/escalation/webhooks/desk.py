"""What admins do with webhooks: add, change, remove, try, and look at what was sent."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Connection, RowMapping

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, invalid_field
from services.common.settings import Secret
from services.escalation.accounts import change_log
from services.escalation.accounts.change_log import current_actor
from services.escalation.secrets.box import SecretBox, SecretUnreadable
from services.escalation.store import change_log as audit_log
from services.escalation.store import webhooks as store
from services.escalation.store.database import Database, write_through_races
from services.escalation.store.identity import new_id
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.webhooks import messages, signing
from services.escalation.webhooks.posting import Poster
from services.escalation.webhooks.schedule import Attempt

MOST_WEBHOOKS: Final = 20
# Both secrets sign for so long after a rotation.
ROTATION: Final = timedelta(days=1)
_TEST_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Order:
    """A webhook as it shall be. `event_types` empty: all."""

    tenant_id: str
    webhook_id: str
    url: str
    event_types: tuple[str, ...] = ()
    enabled: bool = True
    rotate_secret: bool = False


class WebhookDesk:
    """See the module. Raises ServiceError: NOT_FOUND for what this tenant does not have."""

    def __init__(
        self,
        database: Database,
        directory: TenantDirectory,
        box: SecretBox,
        poster: Poster,
        clock: Clock,
    ) -> None:
        """All are opened by whoever made them."""
        self._database = database
        self._directory = directory
        self._box = box
        self._poster = poster
        self._clock = clock

    async def put(self, order: Order) -> tuple[RowMapping, Secret | None]:
        """Add a webhook or change it; the signing secret where this made it.

        Raises ServiceError: INVALID for an address that cannot be, NOT_READY where there are too many.
        """
        tenant = await self._directory.get(order.tenant_id)
        actor = current_actor()
        check_url(order.url)
        wanted: dict[str, Any] = {
            "url": order.url,
            "event_types": list(order.event_types),
            "type_filter": store.type_filter(order.event_types),
            "enabled": order.enabled,
        }
        fresh = signing.secret_of(secrets.token_bytes(signing.SECRET_BYTES))
        name = messages.secret_name(order.webhook_id)
        sealed = self._box.seal(fresh, tenant_id=tenant.id, name=name)

        def unit(connection: Connection) -> tuple[RowMapping, Secret | None]:
            now = self._clock.now()
            old = store.find(connection, tenant.id, order.webhook_id, lock=True)
            made = old is None or order.rotate_secret
            values = {**wanted, "updated_at": now}
            if made:
                values |= {"secret": sealed, "key_id": self._box.key_id}
            if old is None:
                if len(store.list_webhooks(connection, tenant.id)) >= MOST_WEBHOOKS:
                    raise ServiceError(
                        Kind.NOT_READY,
                        f"a tenant has at most {MOST_WEBHOOKS} webhooks: remove one first",
                        reason="TOO_MANY_WEBHOOKS",
                    )
                store.add(
                    connection, {"tenant_id": tenant.id, "id": order.webhook_id, "created_at": now, **values}
                )
            else:
                if order.rotate_secret:
                    values |= {"previous_secret": old["secret"], "previous_until": now + ROTATION}
                if order.enabled:
                    values |= {"disabled_reason": "", "failing_since": None}
                else:
                    store.forget_queue(connection, tenant.id, order.webhook_id)
                store.change(connection, tenant.id, order.webhook_id, **values)
            audit_log.record(
                connection,
                tenant.id,
                actor,
                change_log.WEBHOOK_PUT,
                order.webhook_id,
                now=now,
                before=_shown(old) if old is not None else None,
                after=_shown(wanted) | ({"secretRotated": True} if old is not None and made else {}),
            )
            return _found(connection, tenant.id, order.webhook_id), fresh if made else None

        return await write_through_races(self._database, unit)

    async def list(self, tenant_id: str) -> Sequence[RowMapping]:
        """The tenant's webhooks, by id."""
        tenant = await self._directory.get(tenant_id)
        return await self._database.read(lambda c: store.list_webhooks(c, tenant.id))

    async def delete(self, tenant_id: str, webhook_id: str) -> None:
        """Remove a webhook; nothing more is sent to it."""
        tenant = await self._directory.get(tenant_id)
        actor = current_actor()

        def unit(connection: Connection) -> None:
            old = _found(connection, tenant.id, webhook_id)
            store.remove(connection, tenant.id, webhook_id)
            audit_log.record(
                connection,
                tenant.id,
                actor,
                change_log.WEBHOOK_DELETED,
                webhook_id,
                now=self._clock.now(),
                before=_shown(old),
            )

        await self._database.write(unit)

    async def test(self, tenant_id: str, webhook_id: str) -> RowMapping:
        """Send a test event now, once, also to a webhook that is switched off; what came of it."""
        tenant = await self._directory.get(tenant_id)
        webhook = await self._database.read(lambda c: _found(c, tenant.id, webhook_id))
        sent = messages.message(
            new_id(),
            messages.TEST_EVENT,
            tenant_id=tenant.id,
            conversation_id=None,
            turn_id=None,
            data={"webhookId": webhook_id},
            at=self._clock.now(),
        )
        try:
            headers = messages.headers(self._box, webhook, sent, self._clock.now())
        except SecretUnreadable as error:
            attempt = Attempt(0, f"the signing secret cannot be read, rotate it: {error}"[:300], 0.0)
        else:
            attempt = await self._poster.post(webhook["url"], headers, sent.body, seconds=_TEST_SECONDS)
        values = {
            "tenant_id": tenant.id,
            "webhook_id": webhook_id,
            "event_id": sent.id,
            "event_type": sent.type,
            "attempt": 1,
            "status": attempt.status,
            "error": attempt.error,
            "milliseconds": attempt.milliseconds,
            "created_at": self._clock.now(),
            "retry_at": None,
        }
        return await self._database.write(lambda c: store.record_delivery(c, values))

    async def deliveries(
        self, tenant_id: str, webhook_id: str, *, before: str, limit: int
    ) -> Sequence[RowMapping]:
        """Attempts of a webhook, the newest first."""
        tenant = await self._directory.get(tenant_id)

        def query(connection: Connection) -> Sequence[RowMapping]:
            _found(connection, tenant.id, webhook_id)
            return store.list_deliveries(connection, tenant.id, webhook_id, before=before, limit=limit)

        return await self._database.read(query)


def check_url(url: str) -> None:
    """Raise ServiceError(INVALID) unless events can be posted to this address."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise invalid_field("url", "is no address that can be called") from None
    if not url.isprintable() or any(character.isspace() for character in url):
        raise invalid_field("url", "write it without spaces and control characters")
    if parts.scheme not in ("http", "https") or not host:
        raise invalid_field("url", "write it with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise invalid_field(
            "url", "must not hold a user or a password: receivers check the signature instead"
        )
    if parts.fragment:
        raise invalid_field("url", "must not have a fragment (#…)")


def _found(connection: Connection, tenant_id: str, webhook_id: str) -> RowMapping:
    row = store.find(connection, tenant_id, webhook_id)
    if row is None:
        raise ServiceError(Kind.NOT_FOUND, "there is no such webhook", reason="WEBHOOK_NOT_FOUND")
    return row


def _shown(row: Any) -> dict[str, Any]:
    """What the audit log keeps of a webhook."""
    return {"url": row["url"], "eventTypes": row["event_types"], "enabled": row["enabled"]}
