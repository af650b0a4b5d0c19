"""What callers are told while the database is away, and after it came back."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from metachat.escalation.v1 import tenant_pb2

from services.common.errors import Kind
from tests.contract.escalation_server import TENANT, refused, running
from tests.servers import postgresql
from tests.servers.postgresql import PostgreSQL

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def own_server() -> Iterator[PostgreSQL]:
    """A server that this test may stop."""
    binaries = postgresql.find()
    assert binaries is not None, "the marker says that there is one"
    folder = Path(tempfile.mkdtemp(prefix="metachat-away-"))
    folder.chmod(0o711)  # the server refuses root and runs as another user
    server = PostgreSQL(binaries, folder / "postgresql")
    try:
        server.wait()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.postgresql
@pytest.mark.timeout(90)
async def test_health_follows_the_database(postgres_url: str, own_server: PostgreSQL, tmp_path: Path) -> None:
    async with (
        running(own_server.url, tmp_path) as world,
        grpc.aio.insecure_channel(world.address) as channel,
        asyncio.timeout(60),
    ):
        service = "metachat.escalation.v1.ConversationService"
        states = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))
        assert (await states.read()).status == SERVING
        await asyncio.to_thread(own_server.stop)
        assert (await states.read()).status == NOT_SERVING
        async with refused() as errors:
            await world.begin("Is anybody there?")
        assert errors[0].kind is Kind.UNAVAILABLE
        await asyncio.to_thread(own_server.start_again)
        assert (await states.read()).status == SERVING
        made = await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=TENANT, name="Metrica"))
        assert made.id == TENANT
        assert (await world.turn("And now?")).conversation_id
        states.cancel()
