"""Every sealed secret that is stored, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Table, select, update

from services.escalation.store.schema import channels, tenant_secrets
from services.escalation.store.webhook_schema import webhooks
from services.escalation.tenants import tenant_settings
from services.escalation.tenants.directory import channel_secret
from services.escalation.webhooks.messages import secret_name


@dataclass(frozen=True, slots=True)
class Sealed:
    """One secret: the tenant and the name it is bound to, and where its bytes stand."""

    tenant_id: str
    name: str
    ciphertext: bytes
    table: Table
    column: Column[bytes]
    key: tuple[str, str]

    @property
    def words(self) -> str:
        """Whose it is, for people."""
        return f"{self.tenant_id}: {'model key' if self.name == tenant_settings.API_KEY else self.name}"

    def replace(self, connection: Connection, ciphertext: bytes, key_id: str) -> bool:
        """Put other bytes in its place; False where somebody has changed or removed it since."""
        values: dict[str, object] = {self.column.name: ciphertext}
        if self.column.name != "previous_secret":
            values["key_id"] = key_id
        first, second = self.table.primary_key.columns
        return (
            connection.execute(
                update(self.table)
                .where(first == self.key[0], second == self.key[1], self.column == self.ciphertext)
                .values(values)
            ).rowcount
            > 0
        )


def every_secret(connection: Connection) -> Iterator[Sealed]:
    """All of them, tenants' own first."""
    for row in connection.execute(select(tenant_secrets)):
        key = (row.tenant_id, row.name)
        yield Sealed(
            row.tenant_id, row.name, bytes(row.ciphertext), tenant_secrets, tenant_secrets.c.ciphertext, key
        )
    for row in connection.execute(select(channels).where(channels.c.access_token.is_not(None))):
        name, key = channel_secret(row.kind), (row.tenant_id, row.kind)
        yield Sealed(row.tenant_id, name, bytes(row.access_token), channels, channels.c.access_token, key)
    for row in connection.execute(select(webhooks)):
        for column in (webhooks.c.secret, webhooks.c.previous_secret):
            stored = row._mapping[column]
            if stored:
                name, key = secret_name(row.id), (row.tenant_id, row.id)
                yield Sealed(row.tenant_id, name, bytes(stored), webhooks, column, key)
