"""Deleting a tenant, on a whole service and both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import (
    conversation_pb2,
    knowledge_pb2,
    knowledge_pb2_grpc,
    tenant_pb2,
    user_pb2,
    user_pb2_grpc,
)
from sqlalchemy import Connection, func, select, text

from services.common.errors import Kind
from services.escalation.store.schema import METADATA
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, World, refused, until

database_url, world = server.database_url, server.world


async def fill(world: World) -> None:
    """Something of everything: turns, a waiting handoff, documents, a user, settings with a secret."""
    operator = world.channel(server.OPERATOR.reveal())
    await world.configure(llm={"api_key": "sk-secret", "model": "m"})
    await knowledge_pb2_grpc.KnowledgeServiceStub(operator).PutDocument(
        knowledge_pb2.PutDocumentRequest(
            tenant_id=TENANT, document_id="d", title="Plans", text="The plan costs 5."
        )
    )
    await user_pb2_grpc.UserServiceStub(operator).CreateUser(
        user_pb2.CreateUserRequest(
            tenant_id=TENANT, email="a@shop.example", role=user_pb2.User.AGENT, password="correct horse"
        )
    )
    contact = conversation_pb2.Contact(user_id="u1")
    for number in range(3):
        await world.turn(f"question {number}", "score=0.1", contact=contact)
        contact = conversation_pb2.Contact(user_id=f"u{number}")
    await world.complete(await world.whatsapp("hello", "w1"))


def rows_of(connection: Connection, tenant_id: str) -> dict[str, int]:
    """How many rows each table has of the tenant."""
    counts = {}
    for table in METADATA.sorted_tables:
        if "tenant_id" in table.c:
            query = select(func.count()).select_from(table).where(table.c.tenant_id == tenant_id)
            counts[table.name] = connection.execute(query).scalar_one()
    return {name: count for name, count in counts.items() if count}


def delete(world: World, confirm_name: str, token: str = server.OPERATOR.reveal()) -> Any:
    request = tenant_pb2.DeleteTenantRequest(tenant_id=TENANT, confirm_name=confirm_name)
    return world.tenants(token).DeleteTenant(request)


@pytest.mark.parametrize("name", ["", "metrica", "Metrica2"])
async def test_another_name_deletes_nothing(world, name) -> None:
    async with refused() as errors:
        await delete(world, name)
    assert errors[0].kind is Kind.INVALID and errors[0].fields[0].field == "confirm_name"
    assert (await world.tenants().GetTenant(tenant_pb2.GetTenantRequest(tenant_id=TENANT))).name == "Metrica"


async def test_only_the_operator_deletes(world) -> None:
    admin = await world.key(Access.ADMIN)
    for token in (admin, server.INTERNAL.reveal()):
        async with refused() as errors:
            await delete(world, "Metrica", token)
        assert errors[0].kind is Kind.FORBIDDEN


async def test_a_deleted_tenant_is_gone_for_everybody_and_then_from_every_table(world) -> None:
    await fill(world)
    await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id="other", name="Other"))
    await world.begin("of another tenant", tenant_id="other")
    kept = await world.database.read(lambda c: rows_of(c, "other"))
    admin = await world.key(Access.ADMIN)
    await world.tenants(admin).GetTenant(tenant_pb2.GetTenantRequest(tenant_id=TENANT))

    changes: asyncio.Queue[Any] = asyncio.Queue()

    async def watch() -> None:
        async for change in world.tenants(server.INTERNAL.reveal()).WatchTenants(
            tenant_pb2.WatchTenantsRequest()
        ):
            await changes.put(change)

    watching = asyncio.create_task(watch())
    while not (await asyncio.wait_for(changes.get(), 5)).ready:
        pass
    await delete(world, "Metrica")
    async with asyncio.timeout(1):
        told = await changes.get()
        assert told.tenant.id == TENANT and told.deleted and told.keys_changed
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    async with refused() as errors:
        await world.tenants(admin).GetTenant(tenant_pb2.GetTenantRequest(tenant_id=TENANT))
    assert errors[0].kind is Kind.UNAUTHENTICATED
    for call in (
        world.tenants().GetTenant(tenant_pb2.GetTenantRequest(tenant_id=TENANT)),
        world.begin("Is anybody there?"),
        delete(world, "Metrica"),
    ):
        async with refused() as errors:
            await call
        assert errors[0].kind is Kind.NOT_FOUND
    assert [t.id for t in (await world.tenants().ListTenants(tenant_pb2.ListTenantsRequest())).tenants] == [
        "other"
    ]

    async def empty() -> bool:
        left = await world.database.read(lambda c: rows_of(c, TENANT))
        left.pop("tenant_changes", None)
        gone = await world.database.read(
            lambda c: c.execute(text("SELECT count(*) FROM tenants WHERE id = 'metrica'")).scalar_one() == 0
        )
        return gone and left == {"audit_entries": 1}

    await until(empty, 20)
    index = await world.database.read(
        lambda c: c.execute(text("SELECT count(*) FROM passage_words")).scalar_one()
    )
    assert index == 0
    assert await world.database.read(lambda c: rows_of(c, "other")) == kept
    log = await world.tenants().ListAuditEntries(tenant_pb2.ListAuditEntriesRequest(tenant_id=TENANT))
    assert [(entry.action, entry.actor) for entry in log.entries] == [("tenant.deleted", "operator")]

    # The name and the id are free again, and nothing of the old one comes back.
    again = await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=TENANT, name="Metrica"))
    assert not again.settings.HasField("llm")
    assert not (await world.tenants().ListApiKeys(tenant_pb2.ListApiKeysRequest(tenant_id=TENANT))).keys


async def test_a_turn_under_way_when_its_tenant_goes_leaves_nothing(world) -> None:
    begun = await world.begin("Where is my parcel?")
    await delete(world, "Metrica")
    async with refused() as errors:
        await world.complete(begun)
    assert errors[0].kind is Kind.NOT_FOUND

    async def empty() -> bool:
        left = await world.database.read(lambda c: rows_of(c, TENANT))
        return set(left) <= {"audit_entries", "tenant_changes"}

    await until(empty, 20)
