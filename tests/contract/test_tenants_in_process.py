"""The same servicers through grpcio-testing: what they say themselves, without a server's checks."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc_testing
import pytest
from metachat.escalation.v1 import handoff_pb2, knowledge_pb2, tenant_pb2

from services.common.clock import SystemClock
from services.common.queue.topology import Partitions
from services.common.testing import SyncView
from services.escalation.accounts.access_tokens import ApiKeys, FirstOf
from services.escalation.handoffs.typing_signals import TypingSignals
from services.escalation.handoffs.waiting_list import WaitingList
from services.escalation.handoffs.watch import HandoffWatch
from services.escalation.handoffs.written_summaries import WrittenSummaries
from services.escalation.knowledge.documents import Documents
from services.escalation.secrets.box import SecretBox
from services.escalation.servicers.handoffs import HandoffServicer
from services.escalation.servicers.knowledge import KnowledgeServicer
from services.escalation.servicers.tenants import TenantServicer
from services.escalation.tenants.administration import Administration
from services.escalation.tenants.removal import TenantRemoval
from services.escalation.verdicts.reviews import Reviews
from tests.contract import administration_server as admin
from tests.contract.administration_server import World
from tests.contract.seeded_handoffs import seed

database_url, world = admin.database_url, admin.world
FILES = (tenant_pb2, knowledge_pb2, handoff_pb2)
SERVICES = {
    service.full_name: service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()
}


@pytest.fixture
async def call(world: World) -> Any:
    """`await call("TenantService.GetTenant", request)` gives (answer, code, details)."""
    clock = SystemClock()
    administration = Administration(world.database, world.directory, SecretBox(admin.KEY), clock)
    api_keys = ApiKeys(world.database, world.directory, world.verifier, clock)
    servicers = {
        "TenantService": TenantServicer(
            world.directory,
            administration,
            api_keys,
            FirstOf([world.verifier]),
            TenantRemoval(world.database, world.directory, clock),
        ),
        "KnowledgeService": KnowledgeServicer(Documents(world.database, world.directory, clock)),
        "HandoffService": HandoffServicer(
            WaitingList(world.database, world.directory, clock),
            clock,
            Reviews(world.database, world.directory, clock),
            HandoffWatch(world.database, world.directory),
            WrittenSummaries(world.database, world.directory, clock),
            TypingSignals(world.database, admin.no_queue(), clock, Partitions()),
        ),
    }
    loop = asyncio.get_running_loop()

    def invoke(name: str, request: Any) -> tuple[Any, grpc.StatusCode, str]:
        service_name, method_name = name.split(".")
        service = SERVICES[f"metachat.escalation.v1.{service_name}"]
        with SyncView(servicers[service_name], loop=loop) as view:
            server = grpc_testing.server_from_dictionary({service: view}, grpc_testing.strict_real_time())
            rpc = server.invoke_unary_unary(service.methods_by_name[method_name], (), request, None)
            answer, _, code, details = rpc.termination()
            return answer, code, details

    async def run(name: str, request: Any) -> tuple[Any, grpc.StatusCode, str]:
        return await asyncio.to_thread(invoke, name, request)

    return run


async def test_tenants_as_the_servicer_answers(call: Any) -> None:
    made, code, _ = await call("TenantService.CreateTenant", tenant_pb2.CreateTenantRequest(name="Metrica"))
    assert (made.id, code) == ("metrica", grpc.StatusCode.OK)
    read, code, _ = await call("TenantService.GetTenant", tenant_pb2.GetTenantRequest(tenant_id="metrica"))
    assert (read, code) == (made, grpc.StatusCode.OK)
    _, code, details = await call(
        "TenantService.CreateTenant", tenant_pb2.CreateTenantRequest(id="metrica", name="Metrica")
    )
    assert code is grpc.StatusCode.ALREADY_EXISTS and "metrica" in details
    _, code, _ = await call("TenantService.GetTenant", tenant_pb2.GetTenantRequest(tenant_id="nobody"))
    assert code is grpc.StatusCode.NOT_FOUND
    _, code, _ = await call(
        "TenantService.UpdateTenant", tenant_pb2.UpdateTenantRequest(tenant_id="metrica", etag="old")
    )
    assert code is grpc.StatusCode.ABORTED
    _, code, _ = await call("TenantService.VerifyApiKey", tenant_pb2.VerifyApiKeyRequest(token="mcm_no"))
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_knowledge_as_the_servicer_answers(call: Any, world: World) -> None:
    await world.tenant()
    put = knowledge_pb2.PutDocumentRequest(tenant_id="metrica", document_id="d", title="T", text="Shipping.")
    made, code, _ = await call("KnowledgeService.PutDocument", put)
    assert (made.passages, code) == (1, grpc.StatusCode.OK)
    search = knowledge_pb2.SearchRequest(tenant_id="metrica", query="shipping")
    found, _, _ = await call("KnowledgeService.Search", search)
    assert [(p.document_id, p.coverage) for p in found.passages] == [("d", 1.0)]
    search.tenant_id = ""
    _, code, details = await call("KnowledgeService.Search", search)
    assert code is grpc.StatusCode.INVALID_ARGUMENT and "tenant_id" in details


async def test_handoffs_as_the_servicer_answers(call: Any, world: World) -> None:
    await world.tenant()
    handoff_id = (await seed(world)).handoff_id
    request = handoff_pb2.ClaimHandoffRequest(tenant_id="metrica", handoff_id=handoff_id, agent="Ana")
    claimed, code, _ = await call("HandoffService.ClaimHandoff", request)
    assert (claimed.claimed_by, code) == ("Ana", grpc.StatusCode.OK)
    request.agent = "Ben"
    _, code, details = await call("HandoffService.ClaimHandoff", request)
    assert code is grpc.StatusCode.FAILED_PRECONDITION and "Ana" in details
    request.tenant_id = "other"
    _, code, _ = await call("HandoffService.ClaimHandoff", request)
    assert code is grpc.StatusCode.NOT_FOUND
