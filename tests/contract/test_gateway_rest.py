"""The gateway over real HTTP, in front of toy services on a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import conversation_pb2 as cv
from metachat.escalation.v1 import tenant_pb2
from metachat.escalation.v1.settings_pb2 import LimitSettings

from tests.unit.gateway.toys import INTERNAL, OPERATOR, SHOP, Running, bearer, gateway, until


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


async def test_chat_answers_as_promised(door: Running) -> None:
    response = await chat(door, "chat-metrica", "Which pills?", messageId="mine-1", userId="ana")
    assert response.status_code == 200
    assert response.json() == {
        "message": "A person will answer.",
        "conversationId": "c1",
        "messageId": "mine-1",
        "conversationToken": "ct1",
        "metadata": {
            "handledBy": "assistant",
            "confidenceEscalation": {
                "enabled": True,
                "escalated": True,
                "action": "IMMEDIATE_ESCALATION",
                "confidenceScore": 0.0,
                "confidenceLevel": "VERY_LOW",
                "reason": "low_confidence",
            },
        },
    }
    begin, caller, metadata = door.world.last("BeginTurn")
    assert (begin.tenant_id, begin.text, begin.message_id) == ("metrica", "Which pills?", "mine-1")
    assert (begin.contact.address, begin.channel) == ("ana", 1)
    assert not begin.require_conversation_token
    assert caller.scopes == {"INTERNAL"}
    assert metadata["x-request-id"] == response.headers["x-request-id"]
    assert metadata["traceparent"]


async def test_scores_that_do_not_exist_are_left_out(door: Running) -> None:
    response = await chat(door, "chat-metrica", "unscored")
    assert response.json()["metadata"]["confidenceEscalation"] == {
        "enabled": True,
        "escalated": False,
        "action": "SUGGEST_REVIEW",
        "reason": "scoring_unavailable",
    }


async def test_while_a_person_holds_the_conversation_nothing_is_said(door: Running) -> None:
    response = await chat(door, "chat-metrica", "held", conversationId="c1")
    body = response.json()
    assert body.pop("messageId")
    assert body == {
        "message": "",
        "conversationId": "c1",
        "conversationToken": "ct1",
        "metadata": {"handledBy": "human"},
    }


async def test_the_tenant_may_be_left_out_by_a_bound_caller_alone(door: Running) -> None:
    body = {"message": "hi"}
    response = await door.http.post("/api/chat", json=body, headers=bearer("chat-metrica"))
    assert response.status_code == 200
    assert door.world.last("BeginTurn")[0].tenant_id == "metrica"
    response = await door.http.post("/api/chat", json=body, headers=bearer(OPERATOR))
    assert response.status_code == 400
    assert fields(response) == ["tenantId"]


async def test_a_turn_behind_another_one_waits_for_it(door: Running) -> None:
    door.world.postponed = 3
    response = await chat(door, "chat-metrica", "again")
    assert response.status_code == 200
    ids = {entry[1].message_id for entry in door.world.seen if entry[0] == "BeginTurn"}
    assert door.world.count("BeginTurn") == 4
    assert len(ids) == 1


async def test_a_wait_that_takes_too_long_says_when_to_come_back(door: Running) -> None:
    response = await chat(door, "chat-metrica", "busy")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "60"
    assert error(response)["code"] == "UNAVAILABLE"


async def test_a_message_id_that_stands_for_another_text(door: Running) -> None:
    response = await chat(door, "chat-metrica", "conflict", messageId="m")
    assert response.status_code == 409
    assert error(response)["code"] == "ALREADY_EXISTS"


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        (None, 401, "UNAUTHENTICATED"),
        ("nobody", 401, "UNAUTHENTICATED"),
        ("agent-metrica", 403, "PERMISSION_DENIED"),
        ("public-metrica", 403, "PERMISSION_DENIED"),
        ("other", 403, "PERMISSION_DENIED"),
    ],
)
async def test_who_may_not_chat(door: Running, token: str | None, status: int, code: str) -> None:
    door.world.add_key("other", "somebody-else", Access.ADMIN)
    headers = bearer(token) if token else {}
    response = await door.http.post(
        "/api/chat", json={"tenantId": "metrica", "message": "x"}, headers=headers
    )
    assert response.status_code == status
    assert error(response)["code"] == code
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert door.world.count("BeginTurn") == 0


async def test_the_refusal_of_another_tenant_says_the_same_whether_it_exists(door: Running) -> None:
    answers = []
    for tenant in ("gone", "somebody-else"):
        response = await door.http.post(
            "/api/chat", json={"tenantId": tenant, "message": "x"}, headers=bearer("chat-metrica")
        )
        answers.append((response.status_code, response.content))
    assert answers[0] == answers[1]
    assert answers[0][0] == 403


async def test_a_public_key_works_from_its_origin_alone(door: Running) -> None:
    ok = await chat(door, "public-metrica", "hi", {"origin": SHOP})
    assert ok.status_code == 200
    assert ok.headers["access-control-allow-origin"] == SHOP
    assert "origin" in ok.headers["vary"]
    assert door.world.last("BeginTurn")[0].require_conversation_token
    elsewhere = await chat(door, "public-metrica", "hi", {"origin": "https://evil.example"})
    assert elsewhere.status_code == 403
    assert "access-control-allow-origin" not in elsewhere.headers
    without_token = await chat(door, "public-metrica", "hi", {"origin": SHOP}, conversationId="c1")
    assert without_token.status_code == 404
    assert without_token.headers["access-control-allow-origin"] == SHOP
    bad = await chat(door, "public-metrica", "", {"origin": SHOP})
    assert bad.status_code == 400
    assert bad.headers["access-control-allow-origin"] == SHOP


async def test_other_keys_get_no_cors_headers(door: Running) -> None:
    response = await chat(door, "chat-metrica", "hi", {"origin": SHOP})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


async def test_the_question_before_a_browsers_call(door: Running) -> None:
    headers = {"origin": SHOP, "access-control-request-method": "POST"}
    allowed = await door.http.options("/api/chat", headers=headers)
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == SHOP
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    closed = await door.http.options("/api/tenants", headers=headers)
    assert "access-control-allow-origin" not in closed.headers


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


async def read_events(response: httpx.Response, count: int) -> list[str]:
    found: list[str] = []
    buffer = ""
    async for text in response.aiter_text():
        buffer += text
        while "\n\n" in buffer:
            event, buffer = buffer.split("\n\n", 1)
            found.append(event)
            if len(found) >= count:
                return found
    return found


async def test_a_stream_becomes_server_sent_events(door: Running) -> None:
    url = "/api/conversations/c1/events?conversationToken=ct1&after=3"
    headers = bearer("public-metrica", origin=SHOP) | {"last-event-id": "41"}
    door.world.updates.put_nowait(
        cv.ConversationUpdate(message=cv.Message(id="42", text="a\nb"), cursor="42")
    )
    async with door.http.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["access-control-allow-origin"] == SHOP
        events = await read_events(response, 2)
    assert events[0] == "retry: 2000"
    lines = events[1].split("\n")
    assert lines[0] == "id: 42"
    assert lines[1].startswith('data: {"cursor":"42","message":{"id":"42"')
    assert len(lines) == 2
    request = door.world.last("WatchConversation")[0]
    assert (request.after, request.conversation_token) == ("41", "ct1")

    async def ended() -> bool:
        return door.world.watchers == 0

    await until(ended)  # the call ends with its reader


async def test_a_stream_that_is_refused_is_a_plain_error(door: Running) -> None:
    response = await door.http.get("/api/conversations/foreign/events", headers=bearer("chat-metrica"))
    assert response.status_code == 404
    assert error(response)["code"] == "NOT_FOUND"


async def test_a_stream_that_fails_later_says_so(door: Running) -> None:
    door.world.updates.put_nowait(cv.ConversationUpdate(cursor="1"))
    async with door.http.stream(
        "GET", "/api/conversations/c1/events", headers=bearer("chat-metrica")
    ) as response:
        door.world.updates.put_nowait(cv.ConversationUpdate(cursor="fail"))
        events = await read_events(response, 10)
    assert events[-1].startswith('event: error\ndata: {"error":{"code":"UNAVAILABLE"')


async def test_a_stream_ends_when_the_process_stops(door: Running) -> None:
    received = ""
    url, headers = "/api/conversations/c1/events", bearer("chat-metrica")
    async with asyncio.timeout(5), door.http.stream("GET", url, headers=headers) as response:
        async for text in response.aiter_text():
            received += text
            door.stop.set()
    assert received.startswith("retry: 2000\n\n")

    async def ended() -> bool:
        return door.world.watchers == 0

    await until(ended)


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


def limited(tenant: str, **limits: int) -> tenant_pb2.TenantChange:
    change = tenant_pb2.TenantChange(tenant=tenant_pb2.Tenant(id=tenant))
    change.tenant.settings.limits.CopyFrom(LimitSettings(**limits))
    return change


async def test_a_tenants_limits_hold_as_soon_as_they_are_set(door: Running) -> None:
    for _ in range(20):
        assert (await chat(door, "chat-metrica", "held")).status_code == 200
    door.world.tenant_changes.put_nowait(limited("metrica", messages_per_minute=2))

    async def holds() -> bool:
        return bool((await chat(door, "chat-metrica", "held")).status_code == 429)

    await until(holds)
    begun = door.world.count("BeginTurn")
    response = await chat(door, "chat-metrica", "held")
    assert response.status_code == 429
    assert 1 <= int(response.headers["retry-after"]) <= 30
    assert error(response)["code"] == "RESOURCE_EXHAUSTED"
    assert error(response)["details"][0]["metadata"] == {"limit": "tenant", "perMinute": "2"}
    assert door.world.count("BeginTurn") == begun
    door.world.tenant_changes.put_nowait(limited("metrica"))

    async def passes() -> bool:
        return bool((await chat(door, "chat-metrica", "held")).status_code == 200)

    await until(passes)


async def test_the_installations_limits(tmp_path: Path) -> None:
    limits = {
        "GATEWAY_MESSAGES_PER_MINUTE_PER_CONVERSATION": "3",
        "GATEWAY_MESSAGES_PER_MINUTE_PER_VISITOR": "5",
    }
    async with gateway(tmp_path, **limits) as door:
        door.world.add_key("public-metrica", "metrica", Access.PUBLIC, origins=(SHOP,))
        door.world.add_key("chat-metrica", "metrica", Access.CHAT)
        answers = [await chat(door, "chat-metrica", "held", conversationId="c1") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        other = await chat(door, "chat-metrica", "held", conversationId="c2")
        assert other.status_code == 200
        answers = [await chat(door, "public-metrica", "held", {"origin": SHOP}) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert answers[-1].headers["access-control-allow-origin"] == SHOP
        assert (await chat(door, "chat-metrica", "held")).status_code == 200


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


async def test_no_visitor_gets_what_was_recorded_for_another(door: Running) -> None:
    long, ids = "0123456789abcdef", []
    for message_id, more in (("1", {}), ("1", {}), (long, {}), (long, {}), (long, {"conversationId": "c1"})):
        token = {"conversationToken": "ct1"} if more else {}
        here = {"origin": SHOP}
        answer = await chat(door, "public-metrica", "held", here, messageId=message_id, **more, **token)
        assert answer.json()["messageId"] == message_id
        ids.append(door.world.last("BeginTurn")[0].message_id)
    assert len({ids[0], ids[1], ids[2], ids[4]}) == 4
    assert ids[2] == ids[3]
    await chat(door, "chat-metrica", "held", messageId="1")
    assert door.world.last("BeginTurn")[0].message_id == "1"
