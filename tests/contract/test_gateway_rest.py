"""The REST door over real HTTP, in front of toy services on a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.gateway_door import chat, door, error, fields
from tests.unit.gateway.toys import INTERNAL, OPERATOR, Running, bearer, gateway, until

__all__ = ["door"]


async def test_the_callers_own_token_goes_to_escalation(door: Running) -> None:
    response = await door.http.get("/api/tenants/metrica", headers=bearer("admin-metrica"))
    assert response.status_code == 200
    assert response.json()["id"] == "metrica"
    assert response.json()["policyVersion"] == "7"
    _, caller, metadata = door.world.last("GetTenant")
    assert caller.subject.startswith("key:")
    assert metadata["authorization"] == "Bearer admin-metrica"
    assert door.world.count("VerifyApiKey") == 0


async def test_without_a_token_nothing_reaches_escalation(door: Running) -> None:
    for headers in ({}, {"authorization": "Basic x"}, {"authorization": "Bearer"}):
        response = await door.http.get("/api/tenants", headers=headers)
        assert response.status_code == 401
    assert door.world.count("ListTenants") == 0


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/api/tenants", "admin-metrica", 403, "PERMISSION_DENIED"),
        ("/api/tenants", "nobody", 401, "UNAUTHENTICATED"),
        ("/api/tenants/other", "admin-metrica", 403, "PERMISSION_DENIED"),
        ("/api/tenants/gone", OPERATOR, 404, "NOT_FOUND"),
        ("/api/tenants/metrica/conversations", OPERATOR, 429, "RESOURCE_EXHAUSTED"),
        ("/api/nothing", OPERATOR, 404, "NOT_FOUND"),
        ("/", OPERATOR, 404, "NOT_FOUND"),
    ],
)
async def test_errors_keep_their_meaning(
    door: Running, path: str, token: str, status: int, code: str
) -> None:
    response = await door.http.get(path, headers=bearer(token))
    assert response.status_code == status
    assert error(response)["code"] == code
    if status == 429:
        assert response.headers["retry-after"] == "2"


async def test_a_fault_behind_the_door_tells_nothing(door: Running) -> None:
    response = await door.http.get("/api/tenants/broken", headers=bearer(OPERATOR))
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "Traceback" not in response.text


async def test_patch_sets_what_is_named_and_clears_what_is_null(door: Running) -> None:
    body = {"settings": {"confidenceEscalation": {"mode": "strict"}, "brandName": None}, "etag": "5"}
    response = await door.http.patch("/api/tenants/metrica", json=body, headers=bearer("admin-metrica"))
    assert response.status_code == 200
    assert response.json()["settings"]["confidenceEscalation"] == {"mode": "STRICT", "highStakesDomains": []}
    request = door.world.last("UpdateTenant")[0]
    assert list(request.update_mask.paths) == ["settings.confidence_escalation.mode", "settings.brand_name"]
    assert (request.tenant_id, request.etag) == ("metrica", "5")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"settings": {"confidenceEscalation": {"mode": "severe"}}}, "settings.confidenceEscalation.mode"),
        (
            {"settings": {"confidenceEscalation": {"immediateEscalationThreshold": 0.95}}},
            "settings.confidenceEscalation.immediateEscalationThreshold",
        ),
        (
            {"settings": {"confidenceEscalation": {"immediateEscalationThreshold": 7}}},
            "settings.confidenceEscalation.immediateEscalationThreshold",
        ),
        ({"settings": {"humanHandoffKeywords": ["ok", ""]}}, "settings.humanHandoffKeywords[1]"),
        ({"settings": {"nothing": 1}}, "settings.nothing"),
    ],
)
async def test_faults_are_named_in_json_names(door: Running, body: Any, path: str) -> None:
    response = await door.http.patch("/api/tenants/metrica", json=body, headers=bearer("admin-metrica"))
    assert response.status_code == 400
    assert fields(response) == [path]
    assert error(response)["message"].startswith(path)


async def test_a_stale_etag(door: Running) -> None:
    response = await door.http.patch(
        "/api/tenants/metrica", json={"etag": "stale"}, headers=bearer("admin-metrica")
    )
    assert response.status_code == 409
    assert error(response)["code"] == "ABORTED"


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"{} {}", "application/json", 400),
        (b'{"message": "\xff"}', "application/json", 400),
        (b"[" * 100_000 + b"]" * 100_000, "application/json", 400),
        (b'{"message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", 400),
        (b'{"message": 5}', "application/json", 400),
        (b'{"message": "   "}', "application/json", 400),
        (b'{"message": "' + b"x" * 16_385 + b'"}', "application/json", 400),
        (b'{"massage": "x"}', "application/json", 400),
        (b'{"message": "x", "message": "y"}', "application/json", 400),
        (b'{"message": "x", "me\\u0073sage": "y"}', "application/json", 400),
        (b'{"message": "x"}', "text/plain", 415),
        (b"message=x", "application/x-www-form-urlencoded", 415),
        (b'{"message": "x"}', "application/json; charset=latin-1", 415),
        (b'{"message": "x"}', "application/json; charset=UTF-8", 200),
        (b'{"message": "' + b"x" * 1_048_577 + b'"}', "application/json", 413),
    ],
    ids=lambda value: repr(value)[:24],
)
async def test_bad_bodies(door: Running, content: bytes, content_type: str, status: int) -> None:
    headers = bearer("chat-metrica") | {"content-type": content_type}
    response = await door.http.post("/api/chat", content=content, headers=headers)
    assert response.status_code == status
    if status != 200:
        assert error(response)["message"]


async def test_a_body_without_a_length_is_stopped_at_the_limit(door: Running) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 * 1024 * 1024:
            sent += 65536
            yield b" " * 65536

    headers = bearer("chat-metrica") | {"content-type": "application/json"}
    try:
        response = await door.http.post("/api/chat", content=endless(), headers=headers)
        assert response.status_code == 413
    except httpx.TransportError:
        pass  # the connection may close while we are still sending
    assert sent < 32 * 1024 * 1024


async def test_methods_that_are_not_offered(door: Running) -> None:
    response = await door.http.delete("/api/chat", headers=bearer(OPERATOR))
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert (await door.http.post("/health")).status_code == 405


async def test_a_request_id_is_kept_or_made(door: Running) -> None:
    kept = await door.http.get("/health", headers={"x-request-id": "abc-1"})
    assert kept.headers["x-request-id"] == "abc-1"
    made = await door.http.get("/nothing", headers={"x-request-id": "two words"})
    assert made.headers["x-request-id"] not in ("", "two words")


async def test_confidence_gets_the_gateways_token_and_the_callers_tenant(door: Running) -> None:
    body = {"requestId": "r", "userMessage": "u", "reply": "r"}
    response = await door.http.post("/api/score", json=body, headers=bearer("chat-metrica"))
    assert response.status_code == 200
    assert response.json()["score"] == 0.1
    request, caller, _ = door.world.last("Score")
    assert (request.tenant_id, caller.scopes) == ("metrica", {"INTERNAL"})
    for token, status in (("agent-metrica", 403), ("public-metrica", 403), ("nobody", 401)):
        refused = await door.http.post("/api/score", json=body, headers=bearer(token))
        assert refused.status_code == status
    foreign = await door.http.post(
        "/api/score", json={**body, "tenantId": "other"}, headers=bearer("chat-metrica")
    )
    assert foreign.status_code == 403
    assert door.world.count("Score") == 1
    invalid = await door.http.post("/api/score", json={"reply": "r"}, headers=bearer(INTERNAL))
    assert fields(invalid) == ["userMessage"]


async def test_keys_are_asked_about_once_in_a_while(door: Running) -> None:
    await asyncio.gather(*(chat(door, "chat-metrica", "unscored") for _ in range(20)))
    assert door.world.count("VerifyApiKey") == 1
    del door.world.keys["chat-metrica"]

    async def refused() -> bool:
        return bool((await chat(door, "chat-metrica", "unscored")).status_code == 401)

    await until(refused, 2)


async def test_a_call_in_hand_is_finished_when_the_process_stops(tmp_path: Path) -> None:
    async with gateway(tmp_path, GATEWAY_DRAIN_SECONDS="5") as door:
        door.world.postponed = 10

        async def begun() -> bool:
            return door.world.count("BeginTurn") > 0

        answer = asyncio.create_task(chat(door, INTERNAL, "again"))
        await until(begun)
        door.stop.set()
        assert (await answer).status_code == 200
        assert door.world.count("BeginTurn") == 11


async def test_tokens_that_are_no_text_are_refused(door: Running) -> None:
    for path in ("/api/tenants", "/api/conversations/c1"):
        headers = {b"authorization": b"Bearer t\xf6ken"}
        response = await door.http.get(path, headers=headers)
        assert response.status_code == 401


async def test_health_and_readiness(door: Running) -> None:
    assert (await door.http.get("/health")).json() == {"status": "ok"}
    ready = await door.http.get("/ready")
    assert ready.json() == {
        "status": "ready",
        "dependencies": {"escalation": "up", "confidence": "up", "queue": "up"},
    }
    metrics = await door.http.get("/metrics")
    assert "metachat_http_server_handled_total" in metrics.text


async def test_escalation_away_is_a_quick_503(door: Running) -> None:
    await door.server.stop()
    async with asyncio.timeout(5):
        response = await chat(door, INTERNAL, "hi")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert error(response)["code"] == "UNAVAILABLE"

    async def away() -> bool:
        return (await door.http.get("/ready")).status_code == 503

    await until(away)
    ready = await door.http.get("/ready")
    assert ready.json()["dependencies"]["escalation"].startswith("away")
    assert (await door.http.get("/health")).status_code == 200


async def test_a_name_that_stands_twice_is_named(door: Running) -> None:
    body = b'{"settings": {"llm": {"model": "a", "model": "b"}}}'
    headers = bearer("admin-metrica", **{"content-type": "application/json"})
    response = await door.http.patch("/api/tenants/metrica", content=body, headers=headers)
    assert response.status_code == 400
    assert fields(response) == ["model"]


async def test_a_service_that_stands_still_is_away(door: Running) -> None:
    response = await door.http.get("/api/tenants/slow", headers=bearer(OPERATOR))
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert error(response)["code"] == "UNAVAILABLE"
