"""Outgoing webhooks through the whole service, to a real HTTP server that may be slow, broken or gone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2
from metachat.escalation.v1 import webhook_pb2 as pb

from services.common.errors import Kind
from services.escalation.store.account_schema import audit_entries
from services.escalation.store.schema import events
from services.escalation.store.webhook_schema import webhook_queue, webhooks
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, World, refused, until

database_url = server.database_url
ASK = "I want to talk to a person"
REQUESTED = "human_handoff.requested"


@dataclass
class Received:
    """One call as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return orjson.loads(self.body)

    def signed_with(self, secret: str) -> bool:
        """Verifies as the specification tells receivers to."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return f"v1,{expected}" in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """An HTTP server that does what the last part of the path says: ok, 500, 410, slow, reset, redirect."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    mended: bool = False
    slow: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    most: int = 0

    def url(self, manner: str) -> str:
        return f"http://127.0.0.1:{self.port}/{manner}"

    def of(self, manner: str) -> list[Received]:
        return [one for one in self.received if one.path == f"/{manner}"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.most = max(self.most, self.connections)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            path = head[0].split(" ")[1]
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            raw = dict(line.split(": ", 1) for line in head[1:] if line)
            headers |= {name.lower(): value for name, value in raw.items()}
            body = await reader.readexactly(int(headers["content-length"]))
            self.received.append(Received(path, headers, body))
            manner = "ok" if self.mended else path[1:]
            if manner == "reset":
                writer.transport.abort()
                return
            if manner == "slow":
                await self.slow.wait()
            status = manner if manner.isdecimal() else "307" if manner == "redirect" else "200"
            more = f"location: {self.url('ok')}\r\n" if manner == "redirect" else ""
            writer.write(
                f"HTTP/1.1 {status} X\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n".encode()
            )
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    made.slow.set()
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with server.running(database_url, tmp_path, webhook_allow_private=True) as world:
        await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=TENANT, name="Metrica"))
        yield world


async def put(world: World, webhook_id: str, url: str, **fields: Any) -> Any:
    return await world.webhooks().PutWebhook(
        pb.PutWebhookRequest(tenant_id=TENANT, webhook_id=webhook_id, url=url, **fields)
    )


async def deliveries(world: World, webhook_id: str, **fields: Any) -> Any:
    return await world.webhooks().ListWebhookDeliveries(
        pb.ListWebhookDeliveriesRequest(tenant_id=TENANT, webhook_id=webhook_id, **fields)
    )


async def queued(world: World) -> list[dict[str, Any]]:
    rows = await world.database.read(lambda c: c.execute(webhook_queue.select()).mappings().all())
    return [dict(row) for row in rows]


async def tried(world: World, webhook_id: str, times: int) -> Any:
    """The attempts of a webhook, once there are so many."""

    async def enough() -> bool:
        return len((await deliveries(world, webhook_id)).deliveries) >= times

    await until(enough, 30)
    return (await deliveries(world, webhook_id)).deliveries


async def test_an_event_arrives_signed_and_once(world: World, receiver: Receiver) -> None:
    made = await put(world, "slack", receiver.url("ok"), event_types=[REQUESTED])
    assert made.secret.startswith("whsec_") and made.enabled
    begun = await world.begin(ASK)
    (attempt,) = await tried(world, "slack", 1)
    assert (attempt.status, attempt.error, attempt.attempt, attempt.event_type) == (200, "", 1, REQUESTED)
    assert not attempt.HasField("retry_at")
    (received,) = receiver.of("ok")
    assert received.signed_with(made.secret) and not received.signed_with("whsec_" + "A" * 43 + "=")
    assert received.headers["webhook-id"] == attempt.event_id
    content = received.content
    assert content["type"] == REQUESTED
    assert content["data"]["conversationId"] == begun.conversation_id
    assert content["data"]["reason"] == "customer_request" and content["data"]["tenantId"] == TENANT
    # Other types are not even kept.
    await world.begin("Hello?", conversation_id=begun.conversation_id)
    assert await queued(world) == []
    listed = await world.webhooks().ListWebhooks(pb.ListWebhooksRequest(tenant_id=TENANT))
    assert [(webhook.id, webhook.secret) for webhook in listed.webhooks] == [("slack", "")]


async def test_what_fails_comes_again_with_the_same_id(world: World, receiver: Receiver) -> None:
    await put(world, "down", receiver.url("500"))
    await world.begin(ASK)
    (first,) = await tried(world, "down", 1)
    assert (first.status, first.error) == (500, "answered 500") and first.HasField("retry_at")
    receiver.mended = True
    world.clock.advance(7)
    second, _ = await tried(world, "down", 2)
    assert (second.status, second.attempt, second.event_id) == (200, 2, first.event_id)
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert await queued(world) == []
    (row,) = await world.rows(webhooks)
    assert row["failing_since"] is None


@pytest.mark.parametrize(
    ("manner", "status", "says"),
    [("reset", 0, "Error"), ("redirect", 307, "redirects are not followed"), ("404", 404, "answered 404")],
)
async def test_every_kind_of_failure_is_told(
    world: World, receiver: Receiver, manner: str, status: int, says: str
) -> None:
    await put(world, "broken", receiver.url(manner))
    await world.begin(ASK)
    (attempt,) = await tried(world, "broken", 1)
    assert attempt.status == status and says in attempt.error and attempt.HasField("retry_at")
    assert receiver.of("ok") == []


async def test_nobody_listens(world: World) -> None:
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    await put(world, "away", f"http://127.0.0.1:{port}/")
    await world.begin(ASK)
    (attempt,) = await tried(world, "away", 1)
    assert attempt.status == 0 and "ConnectError" in attempt.error


async def test_a_slow_receiver_holds_up_nobody(world: World, receiver: Receiver) -> None:
    await put(world, "slow", receiver.url("slow"), event_types=[REQUESTED])
    await put(world, "fast", receiver.url("ok"), event_types=[REQUESTED])
    started = asyncio.get_running_loop().time()
    for _ in range(6):
        await world.begin(ASK)
    assert asyncio.get_running_loop().time() - started < 3, "turns do not wait for receivers"
    assert len(await tried(world, "fast", 6)) == 6
    assert len(receiver.of("slow")) == 2, "few at a time to one receiver"
    receiver.slow.set()
    assert all(attempt.status == 200 for attempt in await tried(world, "slow", 6))


async def test_a_receiver_that_is_gone_is_switched_off_with_the_reason(
    world: World, receiver: Receiver
) -> None:
    await put(world, "gone", receiver.url("410"))
    await world.begin(ASK)
    await tried(world, "gone", 1)
    (webhook,) = (await world.webhooks().ListWebhooks(pb.ListWebhooksRequest(tenant_id=TENANT))).webhooks
    assert not webhook.enabled and "410" in webhook.disabled_reason
    assert await queued(world) == []
    assert await world.rows(events, events.c.type == "webhook.disabled")
    # Putting it again switches it on again.
    again = await put(world, "gone", receiver.url("ok"))
    assert again.enabled and again.disabled_reason == "" and again.secret == ""
    await world.begin(ASK)
    newest, *_ = await tried(world, "gone", 2)
    assert newest.status == 200


async def test_days_of_failures_switch_off(world: World, receiver: Receiver) -> None:
    await put(world, "dead", receiver.url("500"), event_types=[REQUESTED])
    await world.begin(ASK)
    await tried(world, "dead", 1)
    for _ in range(2):
        world.clock.advance(60 * 3600)
        await world.begin(ASK)

    async def off() -> bool:
        return not (await world.rows(webhooks))[0]["enabled"]

    await until(off, 10)
    assert "5 days" in (await world.rows(webhooks))[0]["disabled_reason"]


async def test_both_secrets_sign_for_a_day_after_a_rotation(world: World, receiver: Receiver) -> None:
    old = (await put(world, "slack", receiver.url("ok"))).secret
    new = (await put(world, "slack", receiver.url("ok"), rotate_secret=True)).secret
    assert new.startswith("whsec_") and new != old
    test = pb.TestWebhookRequest(tenant_id=TENANT, webhook_id="slack")
    await world.webhooks().TestWebhook(test)
    world.clock.advance(24 * 3600 + 1)
    await world.webhooks().TestWebhook(test)
    first, second = receiver.of("ok")
    assert first.signed_with(old) and first.signed_with(new)
    assert second.signed_with(new) and not second.signed_with(old)
    stored = (await world.rows(webhooks))[0]
    assert base64.b64decode(new.removeprefix("whsec_")) not in bytes(stored["secret"])
    assert new.encode() not in bytes(stored["secret"])


async def test_the_test_button_says_what_came_back(world: World, receiver: Receiver) -> None:
    await put(world, "down", receiver.url("503"), enabled=False)
    answer = await world.webhooks().TestWebhook(pb.TestWebhookRequest(tenant_id=TENANT, webhook_id="down"))
    assert (answer.status, answer.event_type, answer.attempt) == (503, "webhook.test", 1)
    assert not answer.HasField("retry_at") and answer.milliseconds >= 0
    assert receiver.received[0].content["data"] == {
        "webhookId": "down",
        "tenantId": TENANT,
        "eventId": answer.event_id,
    }
    # Switched off: nothing is sent, and nothing waits for the day it is switched on.
    await world.begin(ASK)
    assert await queued(world) == [] and len(receiver.received) == 1
    for _ in range(2):
        await world.webhooks().TestWebhook(pb.TestWebhookRequest(tenant_id=TENANT, webhook_id="down"))
    page = await deliveries(world, "down", page_size=2)
    rest = await deliveries(world, "down", page_size=2, page_token=page.next_page_token)
    ids = [one.id for one in (*page.deliveries, *rest.deliveries)]
    assert len(ids) == 3 and ids == sorted(ids, reverse=True) and rest.next_page_token == ""


async def test_what_was_deleted_gets_nothing(world: World, receiver: Receiver) -> None:
    await put(world, "down", receiver.url("500"))
    await world.begin(ASK)
    await tried(world, "down", 1)
    delete = pb.DeleteWebhookRequest(tenant_id=TENANT, webhook_id="down")
    await world.webhooks().DeleteWebhook(delete)
    assert await queued(world) == []
    async with refused() as errors:
        await world.webhooks().DeleteWebhook(delete)
    assert errors[0].kind is Kind.NOT_FOUND and errors[0].reason == "WEBHOOK_NOT_FOUND"
    actions = [row["action"] for row in await world.rows(audit_entries)]
    assert actions[-2:] == ["webhook.put", "webhook.deleted"]


async def test_who_may_and_what_is_refused(world: World) -> None:
    agent = await world.key(Access.AGENT)
    async with refused() as errors:
        await world.webhooks(agent).ListWebhooks(pb.ListWebhooksRequest(tenant_id=TENANT))
    assert errors[0].kind is Kind.FORBIDDEN
    for fields, name in (
        ({"url": "https://user:secret@example.com/"}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://example.com/", "event_types": ["a|b"]}, "event_types[0]"),
    ):
        async with refused() as errors:
            await put(world, "x", **fields)
        assert [fault.field for fault in errors[0].fields] == [name]
    async with refused() as errors:
        await put(world, "no spaces", "https://example.com/")
    assert errors[0].fields[0].field == "webhook_id"
    for number in range(20):
        await put(world, f"hook-{number}", "https://example.com/", enabled=False)
    async with refused() as errors:
        await put(world, "one-more", "https://example.com/")
    assert errors[0].reason == "TOO_MANY_WEBHOOKS"


async def test_addresses_inside_are_refused_when_they_are_called(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    async with server.running(database_url, tmp_path, webhook_allow_private=False) as world:
        await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=TENANT, name="Metrica"))
        await put(world, "inside", receiver.url("ok"))
        answer = await world.webhooks().TestWebhook(
            pb.TestWebhookRequest(tenant_id=TENANT, webhook_id="inside")
        )
        assert answer.status == 0 and "WEBHOOK_ALLOW_PRIVATE_ADDRESSES" in answer.error
        assert receiver.received == []


async def test_what_was_not_sent_before_the_end_is_sent_after_it(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    async with server.running(database_url, tmp_path, webhook_allow_private=True) as world:
        await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=TENANT, name="Metrica"))
        await put(world, "slow", receiver.url("slow"), event_types=[REQUESTED])
        for _ in range(4):
            await world.begin(ASK)

        async def under_way() -> bool:
            return len(receiver.received) == 2

        await until(under_way)
        assert len(await queued(world)) == 4
    receiver.slow.set()
    async with server.running(database_url, tmp_path, webhook_allow_private=True) as world:
        attempts = await tried(world, "slow", 4)
        assert {attempt.status for attempt in attempts} == {200}
        assert len({attempt.event_id for attempt in attempts}) == 4
        assert await queued(world) == []


async def test_two_processes_send_each_event_once(
    database_url: str, tmp_path: Path, receiver: Receiver, world: World
) -> None:
    folder = tmp_path / "beside"
    folder.mkdir()
    async with server.running(database_url, folder, webhook_allow_private=True) as beside:
        world.clock.advance((beside.clock.now() - world.clock.now()).total_seconds())
        await put(world, "slack", receiver.url("ok"), event_types=[REQUESTED])
        await asyncio.gather(*(each.begin(ASK) for each in (world, beside) for _ in range(10)))
        await tried(world, "slack", 20)
        identities = [one.headers["webhook-id"] for one in receiver.received]
        assert len(identities) == len(set(identities)) == 20
