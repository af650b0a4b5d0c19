"""Previews: edited settings decide as saved ones would, nothing is recorded, and no key goes astray."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from metachat.access.v1.access_pb2 import Access
from metachat.chat.v1 import chat_pb2, chat_pb2_grpc
from metachat.escalation.v1 import escalation_pb2, knowledge_pb2, knowledge_pb2_grpc, tenant_pb2
from metachat.escalation.v1.policy_pb2 import Decision, Policy
from metachat.escalation.v1.settings_pb2 import (
    ConfidenceEscalationSettings,
    MessageSettings,
    TenantSettings,
    WidgetSettings,
)
from sqlalchemy import Connection, select

from services.common.errors import Kind, from_rpc_error
from services.escalation.store.schema import METADATA
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, refused
from tests.contract.preview_door import API_KEY, Door, opened
from tests.providers import openai_server
from tests.providers.meta_server import MetaServer
from tests.providers.openai_server import OpenAIServer

# Elsewhere than the model's server, which listens on 127.0.0.1.
ELSEWHERE = "http://elsewhere.example/v1"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    with OpenAIServer() as model, MetaServer() as meta:
        async with opened(tmp_path, model, meta) as door:
            yield door


def rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has; leases come and go by themselves."""
    return {
        table.name: len(connection.execute(select(table)).all())
        for table in METADATA.sorted_tables
        if table.name != "leases"
    }


def action(answer: dict[str, Any]) -> tuple[str, str]:
    decision = answer["outcome"]["decision"]
    return decision["action"], decision["reason"]


def faults(answer: Any) -> dict[str, str]:
    details = answer.json()["error"]["details"]
    return {
        fault["field"]: fault["description"] for part in details for fault in part.get("fieldViolations", ())
    }


async def test_a_reply_is_judged_under_the_settings_as_edited(door: Door) -> None:
    reply = "Returns take 30 days. score=0.55"
    saved = await door.preview("How long?", reply=reply)
    assert action(saved) == ("SUGGEST_REVIEW", "low_confidence")
    assert saved["outcome"]["decision"]["score"] == 0.55
    assert saved["outcome"]["decision"]["thresholds"] == {"immediate": 0.3, "review": 0.6}
    assert saved["outcome"]["reply"].startswith(reply) and "automatically" in saved["outcome"]["reply"]
    assert [signal["reason"] for signal in saved["outcome"]["signals"]] == ["no hedging"]
    strict = await door.preview(
        "How long?",
        {"confidenceEscalation": {"mode": "STRICT", "immediateEscalationThreshold": 0.6}},
        reply=reply,
    )
    assert action(strict) == ("IMMEDIATE_ESCALATION", "low_confidence")
    assert strict["outcome"]["decision"]["thresholds"] == {"immediate": 0.6, "review": 0.75}
    assert strict["visibleDraft"] == reply and "colleague" in strict["outcome"]["reply"]
    assert strict["outcome"]["handledBy"] == "HUMAN"
    own = await door.preview(
        "How long?", {"confidenceEscalation": {"disclaimerText": "Without warranty."}}, reply="Yes. score=0.7"
    )
    assert (action(own)[0], own["outcome"]["reply"]) == (
        "SEND_WITH_DISCLAIMER",
        "Yes. score=0.7\n\nWithout warranty.",
    )


async def test_null_takes_a_saved_setting_away(door: Door) -> None:
    await door.world.configure(confidence_escalation={"mode": Policy.STRICT})
    reply = "Yes. score=0.55"
    assert action(await door.preview("Is it?", reply=reply))[0] == "SUGGEST_REVIEW"
    lenient = await door.preview("Is it?", {"confidenceEscalation": {"mode": None}}, reply=reply)
    assert lenient["outcome"]["decision"]["mode"] == "STANDARD"


async def test_the_responder_drafts_and_nothing_is_recorded(door: Door) -> None:
    knowledge: Any = knowledge_pb2_grpc.KnowledgeServiceStub(door.world.channel(server.OPERATOR.reveal()))
    await knowledge.PutDocument(
        knowledge_pb2.PutDocumentRequest(
            tenant_id=TENANT, document_id="returns", title="Returns", text="Returns are free for 30 days."
        )
    )
    await door.use_model()
    door.model.answers["Are returns free?"] = "They are. [confidence: high] score=0.95"
    before = await door.world.database.read(rows)
    answer = await door.preview("Are returns free?")
    assert action(answer) == ("CONTINUE", "")
    assert answer["draft"] == "They are. [confidence: high] score=0.95"
    assert answer["visibleDraft"] == answer["outcome"]["reply"] == "They are. score=0.95"
    assert [passage["text"] for passage in answer["passages"]] == ["Returns are free for 30 days."]
    assert (answer["responder"], answer["model"]) == ("openai", "test-model")
    asked = door.model.requests[-1]
    assert asked.headers["authorization"] == f"Bearer {API_KEY}"
    assert "Assess yourself." in str(asked.json["messages"])
    assert door.world.confidence.requests[-1].marker_tag == "tag123"
    # What a reply of one's own is held against is what a draft would have had.
    await door.preview("Are returns free?", reply="Yes. score=0.9")
    assert [p.text for p in door.world.confidence.requests[-1].passages] == ["Returns are free for 30 days."]
    assert API_KEY not in str(answer)
    assert await door.world.database.read(rows) == before


async def test_a_preview_is_judged_as_the_turn_is(door: Door) -> None:
    """The same message, draft and settings through both: the same decision and the same reply."""
    await door.world.configure(handover={"disclose_bot": True})
    for reply in ("Take two. score=0.45", "Yes. score=0.65", "Yes. score=0.99", "No. score=0.1"):
        for message in ("How much medication?", "Where is it?", "It is urgent, where is it?"):
            turn = await door.world.turn(message, reply)
            seen = await door.preview(message, reply=reply)
            decision = seen["outcome"]["decision"]
            assert decision["action"] == Decision.Action.Name(turn.decision.action), (message, reply)
            assert decision["reason"] == turn.decision.reason
            assert seen["outcome"]["reply"] == turn.reply


async def test_who_asks_for_a_person_is_answered_without_a_draft(door: Door) -> None:
    await door.use_model()
    answer = await door.preview("I want to talk to a human")
    assert action(answer) == ("IMMEDIATE_ESCALATION", "customer_request")
    assert "draft" not in answer or not answer["draft"]
    keyword = await door.preview("Is the boss there?", {"humanHandoffKeywords": ["boss"]})
    assert action(keyword) == ("IMMEDIATE_ESCALATION", "keyword")
    unhanded = await door.preview("I want to talk to a human", {"enableHumanHandoff": False})
    assert "can't give you" in unhanded["outcome"]["reply"]
    assert not door.model.requests


async def test_a_responder_that_fails_is_an_answer(door: Door) -> None:
    await door.use_model()
    door.model.script(openai_server.error(401, f"Incorrect API key {API_KEY}"))
    answer = await door.preview("Where is it?")
    assert action(answer) == ("IMMEDIATE_ESCALATION", "no_reply")
    assert answer["failure"] == "authentication" and "401" in answer["failureDetail"]
    assert API_KEY not in str(answer)
    answer = await door.preview("Where is it?", {"llm": {"model": None}})
    assert (action(answer)[1], answer["failure"]) == ("no_reply", "not_configured")


async def test_shadow_and_canary(door: Door) -> None:
    low = "No. score=0.1"
    shadow = await door.preview(
        "Is it?", {"confidenceEscalation": {"rollout": {"stage": "SHADOW"}}}, reply=low
    )
    assert action(shadow)[0] == "CONTINUE"
    assert shadow["outcome"]["decision"]["shadowAction"] == "IMMEDIATE_ESCALATION"
    canary = {"confidenceEscalation": {"rollout": {"stage": "CANARY", "canaryPercent": 1}}}
    assert action(await door.preview("Is it?", canary, reply=low))[0] == "IMMEDIATE_ESCALATION"


async def test_without_a_scorer_the_table_has_a_row(door: Door) -> None:
    await door.world.stop_confidence()
    assert action(await door.preview("Is it?", reply="Yes."))[1] == "scoring_unavailable"


async def test_a_stored_key_goes_to_its_own_server_alone(door: Door) -> None:
    await door.use_model()
    moved = {"llm": {"baseUrl": ELSEWHERE}}
    for path, body in (
        (f"/api/tenants/{TENANT}:preview", {"message": "Is it?", "settings": moved}),
        (f"/api/tenants/{TENANT}/llm:test", {"settings": moved}),
        # Without an address it would go to the one that is built in.
        (f"/api/tenants/{TENANT}/llm:test", {"settings": {"llm": {"baseUrl": None}}}),
    ):
        answer = await door.post(path, body)
        assert answer.status_code == 400
        assert faults(answer) == {"settings.llm.apiKey": "the base URL's host changed, give the key again"}, (
            answer.text
        )
    # Its own server under another path, or with a key of one's own, is fine.
    other_path = {"llm": {"baseUrl": f"{door.model.url}/v1/"}}
    assert (await door.preview("Is it?", other_path))["outcome"]["decision"]
    assert door.model.requests[-1].headers["authorization"] == f"Bearer {API_KEY}"
    new = {"llm": {"baseUrl": door.model.base_url.replace("127.0.0.1", "localhost"), "apiKey": "another"}}
    await door.preview("Is it?", new)
    assert door.model.requests[-1].headers["authorization"] == "Bearer another"
    # A reply of one's own needs no responder, so no key.
    assert action(await door.preview("Is it?", moved, reply="Yes. score=0.9"))[0] == "CONTINUE"


async def test_saving_another_host_asks_for_the_key_again(door: Door) -> None:
    await door.use_model()
    headers = {"authorization": f"Bearer {door.admin}"}
    path = f"/api/tenants/{TENANT}"
    answer = await door.http.patch(path, json={"settings": {"llm": {"baseUrl": ELSEWHERE}}}, headers=headers)
    assert answer.status_code == 400
    assert faults(answer) == {"settings.llm.apiKey": "the base URL's host changed, give the key again"}
    for llm in (
        {"model": "other"},
        {"baseUrl": ELSEWHERE, "apiKey": "new"},
        {"baseUrl": None, "apiKey": None},
    ):
        answer = await door.http.patch(path, json={"settings": {"llm": llm}}, headers=headers)
        assert answer.status_code == 200, answer.text
    assert not answer.json()["settings"]["llm"].get("apiKeySet")
    # There is no key any more that could go astray.
    answer = await door.http.patch(path, json={"settings": {"llm": {"baseUrl": ELSEWHERE}}}, headers=headers)
    assert answer.status_code == 200


async def test_the_responder_is_tested(door: Door) -> None:
    path = f"/api/tenants/{TENANT}/llm:test"
    llm = {"provider": "openai", "model": "test-model", "baseUrl": door.model.base_url, "apiKey": "mine"}
    answer = (await door.post(path, {"settings": {"llm": llm}})).json()
    assert answer["ok"] and "openai test-model" in answer["detail"] and answer["milliseconds"] > 0
    assert "Assess" not in str(door.model.requests[-1].json)
    cases: list[tuple[dict[str, Any], Any, str]] = [
        ({}, openai_server.error(401, "Incorrect API key mine"), "unauthorized"),
        ({}, openai_server.error(403, "no access"), "unauthorized"),
        ({"timeoutSeconds": 3}, openai_server.rate_limited(), "rate_limited"),
        ({}, openai_server.tool_call(), "bad_answer"),
        ({"model": ""}, None, "not_configured"),
    ]
    for changes, scripted, code in cases:
        if scripted is not None:
            door.model.script(*[scripted] * 4)
        body = {"settings": {"llm": llm | changes}}
        answer = (await door.post(path, body)).json()
        assert (answer["ok"], answer["code"]) == (False, code), answer
        assert answer["detail"] and "mine" not in answer["detail"]
        door.model.forget_script()
    nobody = llm | {"baseUrl": "http://127.0.0.1:9/v1", "timeoutSeconds": 1}
    answer = (await door.post(path, {"settings": {"llm": nobody}})).json()
    assert (answer["ok"], answer["code"]) == (False, "unreachable")
    built_in = (await door.post(path, {"settings": {}})).json()
    assert built_in["ok"] and built_in["detail"].startswith("knowledge")


async def test_grpc_is_the_same_door(door: Door) -> None:
    async with door.channel(door.admin) as channel:
        stub: Any = chat_pb2_grpc.ChatServiceStub(channel)
        answer = await stub.Preview(chat_pb2.PreviewRequest(message="Is it?", reply="No. score=0.1"))
        assert answer.outcome.decision.escalated
        tested = await stub.TestResponder(chat_pb2.TestResponderRequest())
        assert tested.ok
        async with refused() as caught:
            await stub.Preview(
                chat_pb2.PreviewRequest(
                    message="Is it?", update_mask=FieldMask(paths=["settings.nothing.like.it"])
                )
            )
        assert caught[0].fields[0].field == "update_mask.paths[0]"


async def test_one_tenant_previews_nothing_of_another(door: Door) -> None:
    chat_key = await door.world.key(Access.CHAT)
    agent_key = await door.world.key(Access.AGENT)
    for path, body in (
        ("/api/tenants/{}:preview", {"message": "Is it?"}),
        ("/api/tenants/{}/llm:test", {}),
        ("/api/tenants/{}/channels/WHATSAPP:test", {}),
    ):
        assert (await door.post(path.format("bravo"), body)).status_code == 403
        assert (await door.post(path.format("nobody"), body)).status_code == 403
        assert (await door.post(path.format("nobody"), body, server.OPERATOR.reveal())).status_code == 404
        for token in (chat_key, agent_key, "no-such-token"):
            assert (await door.post(path.format(TENANT), body, token)).status_code in (401, 403)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": ""}, "message"),
        ({"message": "  \n"}, "message"),
        ({"message": "x" * 16_385}, "message"),
        ({"message": "x", "reply": "y" * 131_073}, "reply"),
        ({"message": "x", "settings": {"confidenceEscalation": {"mode": "WILD"}}}, "settings"),
        (
            {"message": "x", "settings": {"confidenceEscalation": {"immediateEscalationThreshold": 2}}},
            "settings",
        ),
        (
            {"message": "x", "settings": {"confidenceEscalation": {"immediateEscalationThreshold": 0.9}}},
            "settings",
        ),
        ({"message": "x", "settings": {"nonsense": 1}}, "settings"),
        ({"message": "x", "updateMask": "nonsense"}, "updateMask"),
    ],
)
async def test_what_makes_no_sense_is_named(door: Door, body: dict[str, Any], field: str) -> None:
    answer = await door.post(f"/api/tenants/{TENANT}:preview", body)
    assert answer.status_code == 400
    assert any(name.startswith(field) for name in faults(answer)), answer.text


async def test_settings_are_described_before_they_are_saved(door: Door) -> None:
    stub = door.world.escalation()
    found = await stub.DescribeSettings(
        escalation_pb2.DescribeSettingsRequest(
            tenant_id=TENANT,
            settings=TenantSettings(
                locale="hr",
                messages=MessageSettings(handoff="Evo nas."),
                widget=WidgetSettings(title="Corner shop", accent_color="#0B6E4F"),
                confidence_escalation=ConfidenceEscalationSettings(immediate_escalation_threshold=0.35),
            ),
        )
    )
    assert found.effective.confidence_escalation.mode == Policy.STANDARD
    modes = {Policy.Mode.Name(one.mode): one for one in found.modes}
    assert list(modes) == ["LENIENT", "STANDARD", "STRICT"]
    assert (modes["LENIENT"].normal.immediate, modes["LENIENT"].normal_in_force.immediate) == (0.2, 0.35)
    assert (modes["STRICT"].high_stakes.immediate, modes["STRICT"].high_stakes.review) == (0.6, 0.85)
    assert found.texts["handoff"] == "Evo nas." and "kolegi" in found.default_texts["handoff"]
    assert "automatski" in found.texts["disclaimer"]
    assert found.enabled_globally
    assert (found.widget.title, found.widget.accent_color) == ("Corner shop", "#0b6e4f")
    assert (found.widget.accent_text_color, round(found.widget_contrast, 1)) == ("#ffffff", 6.3)
    tenant = await door.world.tenants().GetTenant(tenant_pb2.GetTenantRequest(tenant_id=TENANT))
    assert not tenant.settings.locale


async def test_only_services_prepare_previews(door: Door) -> None:
    await door.use_model()
    request = escalation_pb2.PreparePreviewRequest(tenant_id=TENANT, message="Is it?")
    assert (await door.world.escalation().PreparePreview(request)).task.llm.api_key == API_KEY
    for token in (door.admin, server.OPERATOR.reveal()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await door.world.escalation(token).PreparePreview(request)
        assert from_rpc_error(caught.value).kind is Kind.FORBIDDEN
