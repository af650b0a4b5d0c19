"""The gateway over real HTTP, in front of toy services on a real gRPC server: what its tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from metachat.access.v1.access_pb2 import Access

from tests.unit.gateway.toys import SHOP, Running, bearer, gateway


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Running]:
    async with gateway(tmp_path) as running:
        running.world.add_key("admin-metrica", "metrica", Access.ADMIN)
        running.world.add_key("chat-metrica", "metrica", Access.CHAT)
        running.world.add_key("agent-metrica", "metrica", Access.AGENT)
        running.world.add_key("public-metrica", "metrica", Access.PUBLIC, origins=(SHOP,))
        yield running


def error(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"code", "message", "details"}
    assert response.headers["x-request-id"]
    return dict(body["error"])


def fields(response: httpx.Response) -> list[str]:
    details = error(response)["details"]
    bad = [detail for detail in details if detail["@type"].endswith("BadRequest")]
    return [violation["field"] for detail in bad for violation in detail["fieldViolations"]]


async def chat(
    door: Running, token: str, message: str, headers: dict[str, str] | None = None, **more: str
) -> Any:
    body = {"tenantId": "metrica", "message": message, **more}
    return await door.http.post("/api/chat", json=body, headers=bearer(token, **(headers or {})))
