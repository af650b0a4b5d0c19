"""POST /api/chat over real HTTP, in front of toy services on a real gRPC server."""

from __future__ import annotations

from pathlib import Path

import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2
from metachat.escalation.v1.settings_pb2 import LimitSettings

from tests.contract.gateway_door import chat, door, error, fields
from tests.unit.gateway.toys import OPERATOR, SHOP, Running, bearer, gateway, until

__all__ = ["door"]


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
