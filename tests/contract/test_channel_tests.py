"""A channel's connection is tested with the stored token; nothing is sent and nothing secret is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from metachat.chat.v1 import chat_pb2 as chat
from metachat.chat.v1 import chat_pb2_grpc
from metachat.escalation.v1 import tenant_pb2

from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT
from tests.contract.preview_door import CHANNEL_TOKEN, Door, opened
from tests.providers.meta_server import RESET_AFTER_READING, MetaServer, error
from tests.providers.openai_server import OpenAIServer
from tests.providers.scripted import Reply

WHATSAPP, MESSENGER = tenant_pb2.Channel.WHATSAPP, tenant_pb2.Channel.MESSENGER


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    with OpenAIServer() as model, MetaServer() as meta:
        async with opened(tmp_path, model, meta) as door:
            meta.accounts["phone-1"] = {
                "display_phone_number": "+1 555 123 4567",
                "verified_name": "Metrica Shop",
                "quality_rating": "GREEN",
            }
            meta.accounts["page-1"] = {"name": "Metrica on Messenger"}
            await put(door, WHATSAPP, "phone-1")
            yield door


async def put(door: Door, kind: Any, account: str, token: str = CHANNEL_TOKEN, tenant: str = TENANT) -> None:
    await door.world.tenants().PutChannel(
        tenant_pb2.PutChannelRequest(tenant_id=tenant, kind=kind, account_id=account, access_token=token)
    )


async def answered(door: Door, kind: str = "WHATSAPP") -> dict[str, Any]:
    answer = await door.post(f"/api/tenants/{TENANT}/channels/{kind}:test", {})
    assert answer.status_code == 200, answer.text
    assert CHANNEL_TOKEN not in answer.text
    return dict(answer.json())


async def test_the_provider_says_whose_the_account_is(door: Door) -> None:
    answer = await answered(door)
    assert answer["ok"] and answer["detail"] == "Metrica Shop, +1 555 123 4567"
    asked = door.meta.requests[-1]
    assert (asked.method, asked.path) == (
        "GET",
        "/v23.0/phone-1?fields=display_phone_number%2Cverified_name",
    )
    assert asked.headers["authorization"] == f"Bearer {CHANNEL_TOKEN}"
    await put(door, MESSENGER, "page-1")
    assert (await answered(door, "MESSENGER"))["detail"] == "Metrica on Messenger"
    assert door.meta.requests[-1].path == "/v23.0/page-1?fields=name"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (error(190, f"Invalid OAuth access token {CHANNEL_TOKEN}", status=401), "unauthorized"),
        (error(200, "Permissions error", status=403), "unauthorized"),
        (error(100, "Object does not exist"), "unauthorized"),
        (error(4, "Application request limit reached"), "rate_limited"),
        (error(2, "Service temporarily unavailable", status=503), "unreachable"),
        (Reply(302, b"", {"location": "http://127.0.0.1:9/"}), "bad_answer"),
        (Reply(200, b"<html>login</html>"), "bad_answer"),
        (Reply(200, b'{"id": "phone-1"}'), "bad_answer"),
        (Reply(200, b"[" * 200_000), "bad_answer"),
        (Reply(raw=b"\x00 this is no HTTP\r\n\r\n"), "unreachable"),
        (RESET_AFTER_READING, "unreachable"),
    ],
)
async def test_what_goes_wrong_is_an_answer(door: Door, reply: Reply, code: str) -> None:
    door.meta.script(reply)
    answer = await answered(door)
    assert (answer["ok"], answer["code"]) == (False, code)
    assert answer["detail"]


async def test_without_a_token_or_a_channel(door: Door) -> None:
    await put(door, MESSENGER, "page-1", token="")
    answer = await answered(door, "MESSENGER")
    assert (answer["ok"], answer["code"]) == (False, "unauthorized")
    assert not door.meta.requests
    await door.world.tenants().DeleteChannel(
        tenant_pb2.DeleteChannelRequest(tenant_id=TENANT, kind=MESSENGER)
    )
    gone = await door.post(f"/api/tenants/{TENANT}/channels/MESSENGER:test", {})
    assert gone.status_code == 404
    assert (await door.post(f"/api/tenants/{TENANT}/channels/WEBCHAT:test", {})).status_code == 400


async def test_another_tenants_channel_is_not_tested(door: Door) -> None:
    await put(door, MESSENGER, "page-1", tenant="bravo")
    assert (await door.post(f"/api/tenants/{TENANT}/channels/MESSENGER:test", {})).status_code == 404
    assert not door.meta.requests


async def test_over_grpc(door: Door) -> None:
    async with door.channel(server.OPERATOR.reveal()) as channel:
        stub: Any = chat_pb2_grpc.ChatServiceStub(channel)
        answer = await stub.TestChannel(chat.TestChannelRequest(tenant_id=TENANT, kind=WHATSAPP))
    assert answer.ok and "Metrica Shop" in answer.detail
