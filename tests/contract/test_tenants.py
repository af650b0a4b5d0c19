"""Tenants and their settings through a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2 as pb
from metachat.escalation.v1.policy_pb2 import Policy
from metachat.escalation.v1.settings_pb2 import TenantSettings
from sqlalchemy import select, text

from services.common.errors import Kind
from services.escalation.store.schema import tenant_secrets, tenants
from tests.contract import administration_server as admin
from tests.contract.administration_server import INTERNAL, OPERATOR, Stubs, World, refused

database_url, world = admin.database_url, admin.world


@pytest.fixture
async def operator(world: World) -> Stubs:
    return await world.stubs(OPERATOR)


@pytest.fixture
async def internal(world: World) -> Stubs:
    return await world.stubs(INTERNAL)


def change(
    tenant_id: str = "metrica", *mask: str, settings: Any = None, **fields: Any
) -> pb.UpdateTenantRequest:
    return pb.UpdateTenantRequest(
        tenant_id=tenant_id,
        settings=settings or {},
        update_mask=FieldMask(paths=mask) if mask else None,
        **fields,
    )


async def test_a_tenant_is_made_once_and_read_back(operator) -> None:
    made = await operator.tenants.CreateTenant(
        pb.CreateTenantRequest(name="Café Zürich", settings={"brand_name": "Café"}, request_id="r1")
    )
    assert (made.id, made.name, made.policy_version) == ("cafe-zurich", "Café Zürich", 1)
    assert made.etag and made.created_at == made.updated_at
    again = await operator.tenants.CreateTenant(pb.CreateTenantRequest(name="Café Zürich", request_id="r1"))
    assert again == made == await operator.tenants.GetTenant(pb.GetTenantRequest(tenant_id=made.id))
    second = await operator.tenants.CreateTenant(pb.CreateTenantRequest(name="Café Zürich", request_id="r2"))
    assert second.id == "cafe-zurich-2"


async def test_concurrent_copies_of_a_creation_make_one_tenant(operator) -> None:
    request = pb.CreateTenantRequest(name="Metrica", request_id="once")
    made = await asyncio.gather(*(operator.tenants.CreateTenant(request) for _ in range(5)))
    assert {tenant.id for tenant in made} == {"metrica"}


async def test_an_id_that_is_taken_is_refused(world, operator) -> None:
    await world.tenant("metrica")
    error = await refused(operator.tenants.CreateTenant(pb.CreateTenantRequest(id="metrica", name="Other")))
    assert error.kind is Kind.CONFLICT
    assert (await operator.tenants.GetTenant(pb.GetTenantRequest(tenant_id="metrica"))).name == "Metrica"


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "订单"}, "id"),
        ({"name": "x", "id": "Upper"}, "id"),
        ({"name": "x", "settings": {"locale": "?"}}, "settings.locale"),
        ({"name": "x", "settings": {"messages": {"handoff": "\0"}}}, "settings.messages.handoff"),
        ({"name": "x", "request_id": "a\0"}, "request_id"),
    ],
)
async def test_a_bad_tenant_is_refused_by_its_field(operator, fields, field) -> None:
    error = await refused(operator.tenants.CreateTenant(pb.CreateTenantRequest(**fields)))
    assert error.kind is Kind.INVALID
    assert field in [fault.field for fault in error.fields]


async def test_tenants_are_listed_in_pages(world, operator) -> None:
    for name in ("c", "a", "b"):
        await world.tenant(name)
    first = await operator.tenants.ListTenants(pb.ListTenantsRequest(page_size=2))
    assert [tenant.id for tenant in first.tenants] == ["a", "b"]
    rest = await operator.tenants.ListTenants(
        pb.ListTenantsRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [tenant.id for tenant in rest.tenants] == ["c"] and rest.next_page_token == ""
    await operator.tenants.CreateTenant(pb.CreateTenantRequest(id="d", name="Žuta Kuća"))
    for search, wanted in (("žUTA", ["d"]), ("  B ", ["b"]), ("%", []), ("", ["a", "b", "c", "d"])):
        found = await operator.tenants.ListTenants(pb.ListTenantsRequest(search=search))
        assert [tenant.id for tenant in found.tenants] == wanted, search
    for token in ("rubbish!", "W10", "bnVsbA"):
        error = await refused(operator.tenants.ListTenants(pb.ListTenantsRequest(page_token=token)))
        assert error.fields[0].field == "page_token"


async def test_settings_merge_and_rise_the_policy_version(world, operator) -> None:
    made = await world.tenant(tone="friendly", human_handoff_keywords=["agent"])
    changed = await operator.tenants.UpdateTenant(
        change(settings={"confidence_escalation": {"mode": Policy.STRICT}}, etag=made.etag)
    )
    assert changed.settings == TenantSettings(
        tone="friendly", human_handoff_keywords=["agent"], confidence_escalation={"mode": Policy.STRICT}
    )
    assert changed.policy_version == 2 and changed.etag != made.etag
    cleared = await operator.tenants.UpdateTenant(
        change("metrica", "settings.tone", "settings.human_handoff_keywords", "name", name="New name")
    )
    assert cleared.settings == TenantSettings(confidence_escalation={"mode": Policy.STRICT})
    assert cleared.name == "New name" and cleared.policy_version == 3


async def test_a_change_that_changes_nothing_keeps_etag_and_version(world, operator) -> None:
    made = await world.tenant(tone="friendly")
    assert await operator.tenants.UpdateTenant(change(settings={"tone": "friendly"})) == made


async def test_a_stale_etag_changes_nothing(world, operator) -> None:
    made = await world.tenant()
    await operator.tenants.UpdateTenant(change(settings={"tone": "a"}, etag=made.etag))
    error = await refused(operator.tenants.UpdateTenant(change(settings={"tone": "b"}, etag=made.etag)))
    assert error.kind is Kind.STALE
    assert (await operator.tenants.GetTenant(pb.GetTenantRequest(tenant_id="metrica"))).settings.tone == "a"


async def test_of_concurrent_changes_with_one_etag_one_wins(world, operator) -> None:
    made = await world.tenant()
    results = await asyncio.gather(
        *(operator.tenants.UpdateTenant(change(settings={"tone": str(n)}, etag=made.etag)) for n in range(5)),
        return_exceptions=True,
    )
    assert sum(not isinstance(result, BaseException) for result in results) == 1


async def test_a_repeated_request_changes_nothing_more(world, operator) -> None:
    await world.tenant()
    await operator.tenants.UpdateTenant(change(settings={"tone": "a"}, request_id="r"))
    await operator.tenants.UpdateTenant(change(settings={"tone": "b"}))
    repeated = await operator.tenants.UpdateTenant(change(settings={"tone": "a"}, request_id="r"))
    assert repeated.settings.tone == "b" and repeated.policy_version == 3


async def test_thresholds_are_checked_after_the_merge(world, operator) -> None:
    made = await world.tenant(confidence_escalation={"suggest_review_threshold": 0.65})
    error = await refused(
        operator.tenants.UpdateTenant(
            change(settings={"confidence_escalation": {"immediate_escalation_threshold": 0.7}})
        )
    )
    assert error.kind is Kind.INVALID
    assert "0.7" in error.message and "0.65" in error.message
    assert {fault.field.rpartition(".")[2] for fault in error.fields} == {
        "immediate_escalation_threshold",
        "suggest_review_threshold",
    }
    assert await operator.tenants.GetTenant(pb.GetTenantRequest(tenant_id="metrica")) == made
    stricter = await operator.tenants.UpdateTenant(
        change(
            settings={
                "confidence_escalation": {
                    "immediate_escalation_threshold": 0.7,
                    "suggest_review_threshold": 0.9,
                }
            }
        )
    )
    assert stricter.policy_version == 2


async def test_a_mask_that_leads_nowhere_is_refused(world, operator) -> None:
    await world.tenant()
    error = await refused(
        operator.tenants.UpdateTenant(change("metrica", "settings.tone", "settings.nothing"))
    )
    assert error.fields[0].field == "update_mask.paths[1]"


async def test_the_api_key_of_the_model_is_kept_apart_and_never_shown(world, operator, internal) -> None:
    made = await world.tenant(llm={"api_key": "sk-very-secret", "model": "m"})
    assert made.settings.llm.api_key_set and made.settings.llm.model == "m"
    for stubs in (operator, internal):
        shown = await stubs.tenants.GetTenant(pb.GetTenantRequest(tenant_id="metrica"))
        assert not shown.settings.llm.HasField("api_key") and shown.settings.llm.api_key_set
    assert (await world.directory.get("metrica")).llm_api_key.reveal() == "sk-very-secret"

    stored = await world.database.read(lambda c: c.execute(select(tenants.c.settings)).scalar_one())
    assert stored == {"llm": {"model": "m"}}
    sealed = await world.database.read(lambda c: c.execute(select(tenant_secrets)).one())
    assert sealed.name == "llm.apiKey" and b"very-secret" not in bytes(sealed.ciphertext)

    await operator.tenants.UpdateTenant(change(settings={"llm": {"model": "n"}}))
    assert (await world.directory.get("metrica")).llm_api_key.reveal() == "sk-very-secret"
    gone = await operator.tenants.UpdateTenant(change("metrica", "settings.llm.api_key"))
    assert not gone.settings.llm.api_key_set
    assert not (await world.directory.get("metrica")).llm_api_key


async def test_operators_query_the_settings_as_they_stand(world, operator) -> None:
    await world.tenant(
        enable_human_handoff=False,
        confidence_escalation={"mode": Policy.LENIENT, "immediate_escalation_threshold": 0.25},
    )
    query = text("SELECT name, settings->'confidenceEscalation' AS found FROM tenants")
    row = await world.database.read(lambda c: c.execute(query).one())
    found = orjson.loads(row.found) if isinstance(row.found, str) else row.found
    assert (row.name, found) == ("Metrica", {"mode": "LENIENT", "immediateEscalationThreshold": 0.25})


async def test_unknown_tenants_and_foreign_ones_are_told_apart_only_for_the_operator(world, operator) -> None:
    await world.tenant("metrica")
    await world.tenant("other")
    for tenant_id in ("nobody", "../etc", "a\0b", "X" * 64):
        error = await refused(operator.tenants.GetTenant(pb.GetTenantRequest(tenant_id=tenant_id)))
        assert error.kind is Kind.NOT_FOUND
    error = await refused(operator.tenants.GetTenant(pb.GetTenantRequest()))
    assert error.kind is Kind.INVALID and error.fields[0].field == "tenant_id"
    mine = await world.stubs((await world.key("metrica", Access.ADMIN))[1])
    assert (await mine.tenants.GetTenant(pb.GetTenantRequest())).id == "metrica"
    refusals = [
        await refused(mine.tenants.GetTenant(pb.GetTenantRequest(tenant_id=t))) for t in ("other", "nobody")
    ]
    assert [(error.kind, error.message) for error in refusals] == [(Kind.FORBIDDEN, refusals[0].message)] * 2


async def test_warm_reads_make_no_sql(world) -> None:
    await world.tenant()
    first = await world.directory.get("metrica")
    await world.directory.close()
    await world.database.close()
    assert await world.directory.get("metrica") is first


async def test_a_watch_sends_all_then_ready_then_changes(world, operator, internal) -> None:
    await world.tenant("a")
    await world.tenant("b")
    await operator.tenants.PutChannel(
        pb.PutChannelRequest(
            tenant_id="b", kind=pb.Channel.WHATSAPP, account_id="7", access_token="EAAG-secret"
        )
    )
    watch = internal.tenants.WatchTenants(pb.WatchTenantsRequest(with_secrets=True))
    received = [await watch.read() for _ in range(3)]
    assert [change.tenant.id for change in received] == ["a", "b", ""]
    assert [change.ready for change in received] == [False, False, True]
    assert received[1].channels[0].access_token == "EAAG-secret"

    await operator.tenants.UpdateTenant(change("a", settings={"tone": "new"}))
    # What changed while the stream was opened may be told once more.
    while (update := await watch.read()).tenant.id == "b":
        pass
    assert (update.tenant.id, update.tenant.settings.tone, update.keys_changed) == ("a", "new", False)
    await world.key("b", Access.CHAT)
    update = await watch.read()
    assert (update.tenant.id, update.keys_changed) == ("b", True)
    await world.tenant("c")
    assert (await watch.read()).tenant.id == "c"
    watch.cancel()

    open_watch = internal.tenants.WatchTenants(pb.WatchTenantsRequest())
    shown = [await open_watch.read() for _ in range(3)]
    assert shown[1].channels[0].access_token == "" and shown[1].channels[0].access_token_set
    open_watch.cancel()


async def test_changes_reach_another_process_within_a_second(world, operator, database_url) -> None:
    await world.tenant()
    async with admin.running(database_url) as other:
        key_id, token = await world.key("metrica", Access.ADMIN)
        there = await other.stubs(token)
        assert (await there.tenants.GetTenant(pb.GetTenantRequest())).settings.tone == ""
        await operator.tenants.UpdateTenant(change(settings={"tone": "new"}))
        await _until(lambda: _tone(other, "new"))
        await operator.tenants.RevokeApiKey(pb.RevokeApiKeyRequest(tenant_id="metrica", key_id=key_id))
        await _until(lambda: _refused(other, token))


async def _tone(world: World, tone: str) -> bool:
    return (await world.directory.get("metrica")).settings.tone == tone


async def _refused(world: World, token: str) -> bool:
    return await world.verifier.verify(token) is None


async def _until(condition: Any) -> None:
    async with asyncio.timeout(1.0):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.02)
