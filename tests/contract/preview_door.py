"""A gateway in front of a real escalation service, with servers that play the language model and Meta."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2

from services.common.grpc_channel import open_channel
from services.common.settings import Secret
from services.gateway.__main__ import serve
from services.gateway.settings import Settings
from tests.contract import escalation_server as server
from tests.contract.escalation_server import World, until
from tests.providers.meta_server import MetaServer
from tests.providers.openai_server import OpenAIServer
from tests.servers.process import free_port

API_KEY = "sk-the-stored-key-of-this-test"
CHANNEL_TOKEN = "the-channel-token-of-this-test"


@dataclass
class Door:
    """The gateway's two doors, `admin`: a key of the tenant; `http` sends it."""

    world: World
    http: httpx.AsyncClient
    grpc_address: str
    admin: str
    model: OpenAIServer
    meta: MetaServer

    def channel(self, token: str) -> Any:
        return open_channel(self.grpc_address, token=Secret(token), attempts=1)

    async def post(self, path: str, body: object, token: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.admin}"}
        return await self.http.post(path, json=body, headers=headers)

    async def preview(self, message: str, settings: object = None, **fields: object) -> dict[str, Any]:
        answer = await self.post(
            f"/api/tenants/{server.TENANT}:preview",
            {"message": message, **fields} | ({"settings": settings} if settings is not None else {}),
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def use_model(self, **llm: Any) -> None:
        """The tenant's own model, with a key that is stored."""
        await self.world.configure(
            llm={
                "provider": "openai",
                "base_url": self.model.base_url,
                "model": "test-model",
                "api_key": API_KEY,
                **llm,
            }
        )


@asynccontextmanager
async def opened(folder: Path, model: OpenAIServer, meta: MetaServer) -> AsyncIterator[Door]:
    """Everything started, with the tenant and a second one."""
    async with server.running(f"sqlite:///{folder / 'metachat.db'}", folder) as world:
        for tenant in (server.TENANT, "bravo"):
            await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=tenant, name=tenant))
        http_port, grpc_port = free_port(), free_port()
        settings = Settings.from_environment(
            {
                "METACHAT_DATA_FOLDER": str(folder / "gateway"),
                "METACHAT_INTERNAL_TOKEN": server.INTERNAL.reveal(),
                "METACHAT_OPERATOR_TOKEN": server.OPERATOR.reveal(),
                "GATEWAY_HTTP_PORT": str(http_port),
                "GATEWAY_GRPC_PORT": str(grpc_port),
                "GATEWAY_TURN_SECONDS": "20",
                "GATEWAY_DRAIN_SECONDS": "0",
                "ESCALATION_ADDRESS": world.address,
                "CONFIDENCE_ADDRESS": world.address,
                "WHATSAPP_API_BASE_URL": f"{meta.url}/v23.0",
                "MESSENGER_API_BASE_URL": f"{meta.url}/v23.0",
            }
        )
        stop = asyncio.Event()
        task = asyncio.create_task(serve(settings, stop))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}", timeout=30) as http:

                async def alive() -> bool:
                    if task.done():
                        task.result()
                    try:
                        return (await http.get("/health")).status_code == 200
                    except httpx.TransportError:
                        return False

                await until(alive, 20)
                admin = await world.key(Access.ADMIN)
                yield Door(world, http, f"127.0.0.1:{grpc_port}", admin, model, meta)
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)
