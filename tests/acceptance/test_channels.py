"""WhatsApp in, an answer out, once: on the embedded queue with SQLite and on RabbitMQ with PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aio_pika
import asyncpg
import httpx
import pytest

from tests.acceptance.installation import VERIFY_TOKEN, Installation, wait_until, whatsapp_text
from tests.providers.meta_server import MetaServer
from tests.servers.fixtures import PostgresServer

PLAN = "How much does the Team plan cost?"
MEDICATION = "What specific medication should I take for my rare condition?"


@dataclass
class Channel:
    """An installation with a WhatsApp number, and the provider it sends through."""

    installation: Installation
    meta: MetaServer
    query: Callable[[str], list[tuple[Any, ...]]]
    rabbitmq_url: str | None
    number: str

    def deliver(self, text: str, message_id: str | None = None, sender: str = "16315551212") -> str:
        identity = message_id or f"wamid.{uuid.uuid4().hex}"
        answer = self.installation.webhook(whatsapp_text(text, identity, sender=sender, number=self.number))
        assert answer.status_code == 200, answer.text
        return identity

    def sent_to(self, sender: str) -> list[dict[str, Any]]:
        calls = (request.json for request in self.meta.requests)
        return [call for call in calls if call.get("to") == sender and call.get("type") == "text"]


def on_embedded(folder: Any, meta: MetaServer) -> Iterator[Channel]:
    installation = Installation.prepare(folder / "data", WHATSAPP_API_BASE_URL=meta.url).start()
    try:
        yield Channel(installation, meta, installation.rows, None, uuid.uuid4().hex[:12])
    finally:
        installation.stop()


def on_servers(folder: Any, meta: MetaServer, server: PostgresServer, rabbitmq_url: str) -> Iterator[Channel]:
    database = server.create()
    installation = Installation.prepare(
        folder / "data", WHATSAPP_API_BASE_URL=meta.url, DATABASE_URL=database, RABBITMQ_URL=rabbitmq_url
    ).start()

    def query(statement: str) -> list[tuple[Any, ...]]:
        async def fetch() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(database)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(fetch())

    try:
        yield Channel(installation, meta, query, rabbitmq_url, uuid.uuid4().hex[:12])
    finally:
        installation.stop()
        server.drop(database)


SERVERS = pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.postgresql])
on_servers_only = pytest.mark.parametrize("channel", [SERVERS], indirect=True)


@pytest.fixture(scope="module", params=["embedded", SERVERS])
def channel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel]:
    """Both kinds of installation, each with a connected number."""
    folder = tmp_path_factory.mktemp("channel")
    with MetaServer() as meta:
        if request.param == "embedded":
            running = on_embedded(folder, meta)
        else:
            server = request.getfixturevalue("postgres_server")
            running = on_servers(folder, meta, server, request.getfixturevalue("rabbitmq_url"))
        for ready in running:
            said = ready.installation.command(
                "channels", "add", "metrica", "whatsapp",
                "--phone-number-id", ready.number, "--access-token", "meta-token-1",
            )  # fmt: skip
            assert ready.number in said and "meta-token-1" not in said
            yield ready


def test_a_message_is_answered_through_the_provider(channel: Channel) -> None:
    sender = "16315550001"
    identity = channel.deliver(PLAN, sender=sender)
    [call] = wait_until(lambda: channel.sent_to(sender), "the answer")
    assert "79 euros" in call["text"]["body"]
    request = next(r for r in channel.meta.requests if r.json.get("to") == sender)
    assert request.path.endswith(f"/{channel.number}/messages")
    assert request.headers["authorization"] == "Bearer meta-token-1"
    [(action, score)] = channel.query(f"SELECT action, score FROM turns WHERE message_id = '{identity}'")
    assert action.upper() == "CONTINUE" and score >= 0.8
    sent = f"SELECT count(*) FROM outbox WHERE state = 'sent' AND contact_address = '{sender}'"
    wait_until(lambda: channel.query(sent) == [(1,)], "the delivery to be recorded")


def test_a_repeated_webhook_is_answered_once(channel: Channel) -> None:
    sender = "16315550002"
    identity = channel.deliver(PLAN, sender=sender)
    channel.deliver(PLAN, identity, sender=sender)
    wait_until(lambda: channel.sent_to(sender), "the answer")
    channel.deliver(PLAN, identity, sender=sender)
    # A later message of the same customer comes after the copies: when it is answered, they are done.
    channel.deliver("Is there a free trial?", sender=sender)
    wait_until(lambda: len(channel.sent_to(sender)) >= 2, "the second answer")
    texts = [call["text"]["body"] for call in channel.sent_to(sender)]
    assert len(texts) == 2 and len({*texts}) == 2
    assert channel.query(f"SELECT count(*) FROM turns WHERE message_id = '{identity}'") == [(1,)]


def test_an_escalated_message_gets_the_handoff_text_and_a_person_answers(channel: Channel) -> None:
    sender = "16315550003"
    identity = channel.deliver(MEDICATION, sender=sender)
    [call] = wait_until(lambda: channel.sent_to(sender), "the handoff message")
    [(handoff, draft)] = channel.query(
        "SELECT h.id, m.text FROM turns t JOIN handoffs h ON h.turn_id = t.id "
        f"JOIN messages m ON m.turn_id = t.id AND m.withheld WHERE t.message_id = '{identity}'"
    )
    assert draft not in call["text"]["body"]
    channel.installation.command("handoffs", "claim", "metrica", handoff, "--agent", "Ana")
    channel.installation.command(
        "handoffs", "reply", "metrica", handoff, "Ask your doctor.", "--agent", "Ana"
    )
    wait_until(
        lambda: any(c["text"]["body"] == "Ask your doctor." for c in channel.sent_to(sender)),
        "the person's answer",
    )
    before = len(channel.sent_to(sender))
    held = channel.deliver(PLAN, sender=sender)
    wait_until(
        lambda: (
            channel.query(f"SELECT count(*) FROM messages WHERE provider_message_id = '{held}'") == [(1,)]
        ),
        "the held message to be recorded",
    )
    channel.installation.command("handoffs", "close", "metrica", handoff, "--agent", "Ana")
    channel.deliver(PLAN, sender=sender)
    wait_until(
        lambda: any("79 euros" in c["text"]["body"] for c in channel.sent_to(sender)[before:]),
        "the assistant after the conversation was closed",
    )
    assert sum("79 euros" in c["text"]["body"] for c in channel.sent_to(sender)) == 1


def test_a_bad_signature_is_refused_and_nothing_is_published(channel: Channel) -> None:
    identity = f"wamid.{uuid.uuid4().hex}"
    payload = whatsapp_text(PLAN, identity, sender="16315550004", number=channel.number)
    assert channel.installation.webhook(payload, secret="wrong").status_code == 403
    assert channel.installation.webhook(payload, secret=VERIFY_TOKEN).status_code == 403
    unsigned = httpx.post(f"{channel.installation.url}/webhooks/whatsapp", json=payload, timeout=30)
    assert unsigned.status_code == 403
    channel.deliver("Is there a free trial?", sender="16315550004")
    wait_until(lambda: channel.sent_to("16315550004"), "the answer to the good one")
    assert channel.query(f"SELECT count(*) FROM turns WHERE message_id = '{identity}'") == [(0,)]


def test_an_unknown_number_gets_200_and_is_counted(channel: Channel) -> None:
    payload = whatsapp_text(PLAN, f"wamid.{uuid.uuid4().hex}", number="999999")
    assert channel.installation.webhook(payload).status_code == 200
    metrics = httpx.get(f"{channel.installation.url}/metrics", timeout=30).text
    assert "unknown" in metrics


def test_the_subscription_is_verified(channel: Channel) -> None:
    url = f"{channel.installation.url}/webhooks/whatsapp"
    question = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
    answer = httpx.get(url, params=question, timeout=30)
    assert answer.status_code == 200 and answer.text == "1158201444"
    assert httpx.get(url, params={**question, "hub.verify_token": "x"}, timeout=30).status_code == 403


def test_messages_wait_while_the_worker_is_away(channel: Channel) -> None:
    sender = "16315550006"
    with channel.installation.frozen("services.worker"):
        channel.deliver(PLAN, sender=sender)
        answered = channel.installation.chat(PLAN)
        assert answered["metadata"]["confidenceEscalation"]["action"] == "CONTINUE"
        assert channel.sent_to(sender) == []
    wait_until(lambda: channel.sent_to(sender), "the answer once the worker is back")


def test_messages_wait_while_escalation_is_away(channel: Channel) -> None:
    sender = "16315550007"
    channel.deliver(PLAN, sender=sender)
    wait_until(lambda: channel.sent_to(sender), "the first answer")
    escalation = channel.installation.child("services.escalation")
    escalation.kill()
    escalation.wait(10)
    channel.deliver("Is there a free trial?", sender=sender)
    wait_until(lambda: len(channel.sent_to(sender)) == 2, "the answer once escalation is back", 40)


@on_servers_only
def test_a_poison_body_goes_to_the_dead_letters_and_the_worker_goes_on(channel: Channel) -> None:
    name = "tenant.metrica.channel.whatsapp.inbound"

    async def poison() -> None:
        connection = await aio_pika.connect_robust(channel.rabbitmq_url)
        async with connection:
            broker = await connection.channel()
            exchange = await broker.get_exchange("metachat.orchestrator")
            rubbish = aio_pika.Message(b"\xff\x00 no protobuf", type="metachat.channel.v1.InboundMessage")
            await exchange.publish(rubbish, routing_key=name)

    async def dead_letter() -> aio_pika.abc.AbstractIncomingMessage | None:
        connection = await aio_pika.connect_robust(channel.rabbitmq_url)
        async with connection:
            broker = await connection.channel()
            queue = await broker.get_queue(f"{name}.queue.dead-letter")
            return await queue.get(no_ack=True, fail=False)

    asyncio.run(poison())
    dead = wait_until(lambda: asyncio.run(dead_letter()), "the dead letter")
    assert any("reason" in header for header in dead.headers)
    channel.deliver(PLAN, sender="16315550008")
    wait_until(lambda: channel.sent_to("16315550008"), "the answer after the poison")


QUERIES = (
    """SELECT e.created_at, e.tenant_id, e.conversation_id, e.data->>'reason' as reason,
  e.data->>'confidenceScore' as score, e.data->>'confidenceLevel' as level
FROM events e
WHERE e.type = 'human_handoff.requested' AND e.data->>'reason' = 'low_confidence'
ORDER BY e.created_at DESC LIMIT 20;""",
    """SELECT t.name as tenant, COUNT(DISTINCT m.id) as total_messages,
  COUNT(DISTINCT CASE WHEN e.type = 'human_handoff.requested' THEN m.id END) as escalated,
  ROUND(COUNT(DISTINCT CASE WHEN e.type = 'human_handoff.requested' THEN m.id END)::numeric /
    NULLIF(COUNT(DISTINCT m.id), 0) * 100, 2) as escalation_rate_pct
FROM tenants t
LEFT JOIN conversations c ON c.tenant_id = t.id
LEFT JOIN messages m ON m.conversation_id = c.id AND m.created_at > NOW() - INTERVAL '24 hours'
LEFT JOIN events e ON e.conversation_id = c.id AND e.created_at > NOW() - INTERVAL '24 hours'
GROUP BY t.name ORDER BY escalation_rate_pct DESC;""",
    "SELECT name, settings->'confidenceEscalation' FROM tenants;",
)


@on_servers_only
def test_the_operators_queries_give_the_right_rows_after_real_traffic(channel: Channel) -> None:
    channel.deliver(MEDICATION, sender="16315550009")
    wait_until(lambda: channel.sent_to("16315550009"), "the handoff message")
    low = channel.query(QUERIES[0])
    assert low and all(row[1] == "metrica" and row[3] == "low_confidence" for row in low)
    assert all(0 <= float(row[4]) < 0.3 and row[5] in ("LOW", "VERY_LOW") for row in low)
    [(name, messages, escalated, rate)] = channel.query(QUERIES[1])
    assert name == "Metrica"
    [(expected,)] = channel.query("SELECT count(*) FROM messages")
    [(in_handed_over,)] = channel.query(
        "SELECT count(*) FROM messages WHERE conversation_id IN "
        "(SELECT conversation_id FROM events WHERE type = 'human_handoff.requested')"
    )
    assert (messages, escalated) == (expected, in_handed_over)
    assert float(rate) == pytest.approx(100 * escalated / messages, abs=0.01)
    [(tenant, settings)] = channel.query(QUERIES[2])
    assert tenant == "Metrica" and '"STANDARD"' in settings
