"""Channels and API keys of TenantService through a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2 as pb
from sqlalchemy import select

from services.common.clock import SystemClock
from services.common.errors import Kind
from services.escalation.accounts.access_tokens import ApiKeyVerifier
from services.escalation.store.account_schema import api_keys
from services.escalation.store.schema import channels
from tests.contract import administration_server as admin
from tests.contract.administration_server import INTERNAL, OPERATOR, Stubs, World, refused

database_url, world = admin.database_url, admin.world


@pytest.fixture
async def operator(world: World) -> Stubs:
    return await world.stubs(OPERATOR)


@pytest.fixture
async def internal(world: World) -> Stubs:
    return await world.stubs(INTERNAL)


async def test_a_channel_keeps_its_token_to_itself(world, operator, internal) -> None:
    await world.tenant()
    put = pb.PutChannelRequest(
        tenant_id="metrica",
        kind=pb.Channel.WHATSAPP,
        account_id="1055",
        access_token="EAAG-secret",
        display_name="+1 555",
    )
    channel = await operator.tenants.PutChannel(put)
    assert channel == pb.Channel(
        tenant_id="metrica",
        kind=pb.Channel.WHATSAPP,
        account_id="1055",
        access_token_set=True,
        display_name="+1 555",
        enabled=True,
    )
    listed = await internal.tenants.ListChannels(pb.ListChannelsRequest(tenant_id="metrica"))
    assert list(listed.channels) == [channel]
    resolved = await internal.tenants.ResolveChannel(
        pb.ResolveChannelRequest(kind=pb.Channel.WHATSAPP, account_id="1055")
    )
    assert resolved.access_token == "EAAG-secret"
    sealed = await world.database.read(lambda c: c.execute(select(channels.c.access_token)).scalar_one())
    assert b"EAAG" not in bytes(sealed)

    disabled = await operator.tenants.PutChannel(
        pb.PutChannelRequest(tenant_id="metrica", kind=pb.Channel.WHATSAPP, account_id="1056", enabled=False)
    )
    assert disabled.access_token_set and not disabled.enabled and disabled.display_name == "+1 555"
    error = await refused(
        internal.tenants.ResolveChannel(pb.ResolveChannelRequest(kind=pb.Channel.WHATSAPP, account_id="1055"))
    )
    assert error.kind is Kind.NOT_FOUND


@pytest.mark.parametrize("token", ["EAAB\u00a0token", "EAAB\u200btoken", "EAAB\ntoken", "tökén", " "])
async def test_a_token_that_no_header_can_carry_is_refused_by_its_field(world, operator, token) -> None:
    await world.tenant()
    put = pb.PutChannelRequest(
        tenant_id="metrica", kind=pb.Channel.WHATSAPP, account_id="1055", access_token=token
    )
    error = await refused(operator.tenants.PutChannel(put))
    assert error.kind is Kind.INVALID and "access_token" in str(error.metadata) + error.message
    assert "EAAB" not in error.message


async def test_white_space_around_a_token_is_taken_off(world, operator, internal) -> None:
    await world.tenant()
    await operator.tenants.PutChannel(
        pb.PutChannelRequest(
            tenant_id="metrica",
            kind=pb.Channel.WHATSAPP,
            account_id="1055",
            access_token="\u00a0EAAB-token\n",
        )
    )
    resolved = await internal.tenants.ResolveChannel(
        pb.ResolveChannelRequest(kind=pb.Channel.WHATSAPP, account_id="1055")
    )
    assert resolved.access_token == "EAAB-token"


async def test_an_account_belongs_to_one_tenant_and_nobody_is_told_whose(world, operator) -> None:
    await world.tenant("metrica")
    await world.tenant("rival")
    put = pb.PutChannelRequest(tenant_id="metrica", kind=pb.Channel.WHATSAPP, account_id="1055")
    await operator.tenants.PutChannel(put)
    put.tenant_id = "rival"
    error = await refused(operator.tenants.PutChannel(put))
    assert error.kind is Kind.CONFLICT and "metrica" not in error.message.lower()
    put.kind = pb.Channel.MESSENGER
    await operator.tenants.PutChannel(put)
    await operator.tenants.DeleteChannel(
        pb.DeleteChannelRequest(tenant_id="metrica", kind=pb.Channel.WHATSAPP)
    )
    put.kind = pb.Channel.WHATSAPP
    await operator.tenants.PutChannel(put)
    error = await refused(
        operator.tenants.DeleteChannel(pb.DeleteChannelRequest(tenant_id="metrica", kind=pb.Channel.WHATSAPP))
    )
    assert error.kind is Kind.NOT_FOUND


async def test_a_key_is_shown_once_and_stored_as_a_hash(world, operator, internal) -> None:
    await world.tenant()
    key_id, token = await world.key("metrica", Access.AGENT, Access.CHAT)
    assert token.startswith(f"mcm_{key_id}_")
    listed = await operator.tenants.ListApiKeys(pb.ListApiKeysRequest(tenant_id="metrica"))
    assert [(key.id, list(key.scopes)) for key in listed.keys] == [(key_id, [Access.CHAT, Access.AGENT])]
    row = await world.database.read(lambda c: c.execute(select(api_keys)).one())
    assert token not in str(row) and token.rpartition("_")[2] not in str(row)
    verified = await internal.tenants.VerifyApiKey(pb.VerifyApiKeyRequest(token=token))
    assert verified == pb.VerifiedCaller(
        key_id=key_id, tenant_id="metrica", scopes=[Access.CHAT, Access.AGENT]
    )


async def test_a_revoked_key_is_refused_at_once(world, operator, internal) -> None:
    await world.tenant()
    key_id, token = await world.key("metrica", Access.ADMIN)
    mine = await world.stubs(token)
    await mine.tenants.GetTenant(pb.GetTenantRequest())
    revoke = pb.RevokeApiKeyRequest(tenant_id="metrica", key_id=key_id)
    await operator.tenants.RevokeApiKey(revoke)
    await operator.tenants.RevokeApiKey(revoke)
    assert (await refused(mine.tenants.GetTenant(pb.GetTenantRequest()))).kind is Kind.UNAUTHENTICATED
    error = await refused(internal.tenants.VerifyApiKey(pb.VerifyApiKeyRequest(token=token)))
    assert error.kind is Kind.UNAUTHENTICATED
    listed = await operator.tenants.ListApiKeys(pb.ListApiKeysRequest(tenant_id="metrica"))
    assert listed.keys[0].HasField("revoked_at")


async def test_keys_of_another_tenant_are_not_there(world, operator) -> None:
    await world.tenant("metrica")
    await world.tenant("other")
    key_id, token = await world.key("metrica", Access.CHAT)
    error = await refused(
        operator.tenants.RevokeApiKey(pb.RevokeApiKeyRequest(tenant_id="other", key_id=key_id))
    )
    assert error.kind is Kind.NOT_FOUND
    assert await world.verifier.verify(token) is not None
    assert not (await operator.tenants.ListApiKeys(pb.ListApiKeysRequest(tenant_id="other"))).keys


async def test_no_other_token_is_good(world, internal) -> None:
    await world.tenant()
    _, token = await world.key("metrica", Access.CHAT)
    last = "A" if token[-1] != "A" else "B"
    for wrong in (token[:-1] + last, token + "x", token.upper(), "mcm_", "Bearer", "x" * 512):
        error = await refused(internal.tenants.VerifyApiKey(pb.VerifyApiKeyRequest(token=wrong)))
        assert error.kind is Kind.UNAUTHENTICATED
    verified = await internal.tenants.VerifyApiKey(pb.VerifyApiKeyRequest(token=OPERATOR))
    assert verified == pb.VerifiedCaller(scopes=[Access.OPERATOR])


async def test_a_public_key_needs_origins(world, operator, internal) -> None:
    await world.tenant()
    request = pb.CreateApiKeyRequest(tenant_id="metrica", name="widget", scopes=[Access.PUBLIC])
    assert (await refused(operator.tenants.CreateApiKey(request))).fields[0].field == "allowed_origins"
    request.allowed_origins.extend(["https://Shop.Example:443", "https://shop.example"])
    made = await operator.tenants.CreateApiKey(request)
    assert list(made.key.allowed_origins) == ["https://shop.example"]
    verified = await internal.tenants.VerifyApiKey(pb.VerifyApiKeyRequest(token=made.token))
    assert list(verified.allowed_origins) == ["https://shop.example"]
    request.allowed_origins[0] = "*"
    assert (await refused(operator.tenants.CreateApiKey(request))).fields[0].field == "allowed_origins[0]"


async def test_scopes_are_kept(world) -> None:
    await world.tenant()
    chat = await world.stubs((await world.key("metrica", Access.CHAT))[1])
    agent = await world.stubs((await world.key("metrica", Access.AGENT))[1])
    admin_stub = await world.stubs((await world.key("metrica", Access.ADMIN))[1])
    for stubs, allowed in ((chat, False), (agent, True), (admin_stub, True)):
        call = stubs.tenants.GetTenant(pb.GetTenantRequest())
        if allowed:
            await call
        else:
            assert (await refused(call)).kind is Kind.FORBIDDEN
    for stubs in (chat, agent, admin_stub):
        assert (await refused(stubs.tenants.ListTenants(pb.ListTenantsRequest()))).kind is Kind.FORBIDDEN
        call = stubs.tenants.ResolveChannel(
            pb.ResolveChannelRequest(kind=pb.Channel.WHATSAPP, account_id="1055")
        )
        assert (await refused(call)).kind is Kind.FORBIDDEN


async def test_wrong_tokens_are_remembered_within_bounds_until_a_key_is_made(world) -> None:
    await world.tenant()
    small = ApiKeyVerifier(world.database, world.directory, SystemClock(), cache_size=2)
    for number in range(5):
        wrong = f"mcm_{'0' * 16}_{'A' * 42}{number}"
        assert await small.verify(wrong) is await world.verifier.verify(wrong) is None
    assert (small.cached, world.verifier.cached) == (2, 5)
    await world.key("metrica", Access.CHAT)
    assert world.verifier.cached == 0
    small.close()


async def _refused(world: World, token: str) -> bool:
    return await world.verifier.verify(token) is None


async def _until(condition: Any) -> None:
    async with asyncio.timeout(1.0):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.02)
