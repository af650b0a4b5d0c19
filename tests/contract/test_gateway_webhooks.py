"""Webhook calls over real HTTP into a real queue: verify, parse, publish, confirm, 200."""

from __future__ import annotations

import gzip
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.clock import FixedClock
from services.common.queue.opening import open_queue
from services.common.queue.port import Envelope, Queue, QueueName, QueueUnavailable
from services.common.settings import Secret
from services.gateway.app import Page
from services.gateway.webhooks.endpoint import Webhook
from services.gateway.webhooks.publisher import ChannelDirectory, Publisher
from services.gateway.webhooks.signature import signature_of
from services.gateway.webhooks.whatsapp import parse_whatsapp
from tests.unit.gateway.toys import APP_SECRET, Running, gateway

NUMBER = "10501"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Running]:
    async with gateway(tmp_path) as running:
        running.world.accounts |= {NUMBER: "metrica", "PAGE": "metrica"}
        yield running


def whatsapp(*texts: str, number: str = NUMBER, **value: Any) -> bytes:
    messages = [
        {
            "from": "385911234567",
            "id": f"wamid.{text}",
            "timestamp": "1767225600",
            "type": "text",
            "text": {"body": text},
        }
        for text in texts
    ]
    content = {"metadata": {"phone_number_id": number}, "messages": messages, **value}
    entry = [{"id": "W", "changes": [{"field": "messages", "value": content}]}]
    return orjson.dumps({"object": "whatsapp_business_account", "entry": entry})


async def post(
    door: Running, body: bytes, channel: str = "whatsapp", signature: str | None = None, **headers: str
) -> httpx.Response:
    if signature is None:
        signature = signature_of(body, APP_SECRET)
    return await door.http.post(
        f"/webhooks/{channel}", content=body, headers={"x-hub-signature-256": signature, **headers}
    )


async def taken(door: Running, count: int, channel: str = "whatsapp") -> list[Envelope]:
    """What lies in the tenant's inbound queue, in order; fails where there is less or more."""
    queue: Queue = open_queue(None, door.queue_path)
    await queue.open()
    name = QueueName("metrica", channel, "inbound")
    found: list[Envelope] = []
    try:
        assert (await queue.depth(name)).ready == count
        async with queue.consume([name], prefetch=1) as consumer:
            while len(found) < count:
                delivery = await anext(consumer)
                found.append(delivery.envelope)
                await delivery.ack()
    finally:
        await queue.close()
    return found


async def test_a_signed_call_is_in_the_queue_when_it_is_answered(door: Running) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = await post(door, whatsapp("one", "two"), traceparent=trace)
    assert response.status_code == 200
    assert response.json() == {"published": 2}
    first, second = await taken(door, 2)
    assert first.type == "metachat.channel.v1.InboundMessage"
    assert (first.message_id, second.message_id) == ("wamid.one", "wamid.two")
    assert first.ordering_key == second.ordering_key == "385911234567"
    assert first.headers["traceparent"].split("-")[1] == trace.split("-")[1]
    message = InboundMessage.FromString(first.body)
    assert (message.tenant_id, message.account_id, message.text) == ("metrica", NUMBER, "one")
    assert message.HasField("received_at")


async def test_statuses_travel_the_same_way_and_each_is_its_own(door: Running) -> None:
    statuses = [
        {"id": "wamid.S", "status": state, "timestamp": "1767225600", "recipient_id": "385911234567"}
        for state in ("sent", "delivered")
    ]
    assert (await post(door, whatsapp(statuses=statuses))).json() == {"published": 2}
    found = await taken(door, 2)
    assert [item.message_id for item in found] == ["wamid.S:SENT", "wamid.S:DELIVERED"]
    assert {item.type for item in found} == {"metachat.channel.v1.DeliveryStatus"}
    assert DeliveryStatus.FromString(found[0].body).tenant_id == "metrica"


async def test_messenger_has_the_same_shape(door: Running) -> None:
    event = {
        "sender": {"id": "PSID"},
        "recipient": {"id": "PAGE"},
        "timestamp": 1767225600123,
        "message": {"mid": "m1", "text": "Bok"},
    }
    body = orjson.dumps({"object": "page", "entry": [{"id": "PAGE", "messaging": [event]}]})
    assert (await post(door, body, "messenger")).json() == {"published": 1}
    (found,) = await taken(door, 1, "messenger")
    assert InboundMessage.FromString(found.body).text == "Bok"


async def test_an_unknown_number_gets_200_and_is_counted_and_not_published(door: Running) -> None:
    def counted(text: str) -> float:
        line = 'metachat_gateway_webhook_items_total{channel="whatsapp",result="unknown_account"}'
        return next((float(row.split()[-1]) for row in text.splitlines() if row.startswith(line)), 0.0)

    before = counted((await door.http.get("/metrics")).text)
    response = await post(door, whatsapp("x", number="99999"))
    assert (response.status_code, response.json()) == (200, {"published": 0})
    assert counted((await door.http.get("/metrics")).text) == before + 1


def signed(scheme: str = "sha256", digest: str = "sha256") -> str:
    return f"{scheme}={hmac.new(APP_SECRET.encode(), whatsapp('x'), digest).hexdigest()}"


@pytest.mark.parametrize(
    ("signatures", "reason"),
    [
        ([], "no signature"),
        ([""], "64 hexadecimal digits"),
        (["sha256=00"], "64 hexadecimal digits"),
        ([signed() + "0"], "64 hexadecimal digits"),
        ([signed()[:-1]], "64 hexadecimal digits"),
        ([signed()[:-1] + "g"], "64 hexadecimal digits"),
        ([signed("sha1", "sha1")], "64 hexadecimal digits"),
        ([signed("sha1")], "64 hexadecimal digits"),
        ([signed().removeprefix("sha256=")], "64 hexadecimal digits"),
        ([f"{signed()}, {signed()}"], "64 hexadecimal digits"),
        ([signed(), signed()], "2 signatures"),
        (["sha256=" + "0" * 64, signed()], "2 signatures"),
        (["sha256=" + "0" * 64], "does not fit"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_bad_signature_is_refused_with_the_reason_in_the_log_and_nothing_is_published(
    door: Running, signatures: list[str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [("x-hub-signature-256", signature) for signature in signatures]
    response = await door.http.post("/webhooks/whatsapp", content=whatsapp("x"), headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "PERMISSION_DENIED"
    assert any(reason in str(record.msg) for record in caplog.records)
    # A stranger is not told what is wrong with it.
    assert response.json()["error"]["message"] == "the signature does not fit"
    assert (await post(door, whatsapp("y"))).json() == {"published": 1}
    assert [item.message_id for item in await taken(door, 1)] == ["wamid.y"]


async def test_a_signature_by_sha1_in_its_own_header_is_none(door: Running) -> None:
    headers = {"x-hub-signature": signed("sha1", "sha1")}
    response = await door.http.post("/webhooks/whatsapp", content=whatsapp("x"), headers=headers)
    assert response.status_code == 403


async def test_the_signature_is_over_the_bytes_as_they_came(door: Running) -> None:
    body = whatsapp("čšž").replace("č".encode(), b"\\u010d")
    assert (await post(door, body)).status_code == 200
    resigned = signature_of(orjson.dumps(orjson.loads(body)), APP_SECRET)
    assert (await post(door, body, signature=resigned)).status_code == 403


async def test_a_text_with_half_a_surrogate_pair_is_taken(door: Running) -> None:
    body = whatsapp("half").replace(b'"body":"half"', b'"body":"half \\ud83d"')
    assert (await post(door, body)).json() == {"published": 1}
    (found,) = await taken(door, 1)
    assert InboundMessage.FromString(found.body).text == "half ?"


MEBI = 1024 * 1024
DEEP = b'{"object": "whatsapp_business_account", "entry": ' + b"[" * 900 + b"]" * 900 + b"}"
MANY = orjson.dumps({"object": "whatsapp_business_account", "entry": [{}] * 100_000})


@pytest.mark.parametrize(
    ("body", "logged"),
    [
        (b"{}", "is not whatsapp_business_account"),
        (b"[]", "is not whatsapp_business_account"),
        (b"5", "is not whatsapp_business_account"),
        (b"NaN", "is not whatsapp_business_account"),
        (b'"text"', "is not whatsapp_business_account"),
        (b"null", "is not whatsapp_business_account"),
        (
            b'{"object": "whatsapp_business_account", "entry": [{"changes": [null, {"value": 5}]}]}',
            "nothing of ours",
        ),
        (DEEP, "no changes"),
        (MANY, "further webhook items skipped"),
        (b"", "is not valid JSON"),
        (b"not json", "is not valid JSON"),
        (b"{" * 100_000, "is not valid JSON"),
        (b"[" * (3 * MEBI), "is not valid JSON"),
        (b"1" * 10_000, "is not valid JSON"),
        (b"\xff\xfe\xfd", "is not valid JSON"),
        ('{"object": "ž"}'.encode("iso8859-2"), "is not valid JSON"),
        (whatsapp("x")[:-10], "is not valid JSON"),
    ],
    ids=lambda value: repr(value)[:24],
)
async def test_signed_nonsense_is_logged_and_never_asked_for_again(
    door: Running, body: bytes, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        response = await post(door, body)
    assert (response.status_code, response.json()) == (200, {"published": 0})
    said = [str(record.msg) for record in caplog.records if "webhook" in str(record.msg)]
    assert any(logged in line for line in said), said
    # A hundred thousand empty entries are no hundred thousand lines.
    assert len(said) <= 22 and max(map(len, said)) < 1000
    # And the door is open for what comes next.
    assert (await post(door, whatsapp("after"))).json() == {"published": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"5",
        b'"text"',
        b"not json",
        b'{"object": "page", "entry": 5}',
        MANY.replace(b"whatsapp_business_account", b"page"),
    ],
    ids=lambda value: repr(value)[:24],
)
async def test_nonsense_from_messenger_is_taken_as_well(door: Running, body: bytes) -> None:
    response = await post(door, body, "messenger")
    assert (response.status_code, response.json()) == (200, {"published": 0})


async def test_what_is_compressed_is_not_unpacked(door: Running, caplog: pytest.LogCaptureFixture) -> None:
    """The provider compresses nothing; what looks like its call could be a bomb."""
    response = await post(door, gzip.compress(whatsapp("packed")), **{"content-encoding": "gzip"})
    assert (response.status_code, response.json()) == (200, {"published": 0})
    assert any("'encoding': 'gzip'" in str(record.msg) for record in caplog.records)


@pytest.mark.parametrize("over", [0, 1])
async def test_the_limit_is_three_mebibytes_to_the_byte(
    door: Running, over: int, caplog: pytest.LogCaptureFixture
) -> None:
    body = whatsapp("large", padding="")
    body = body.replace(b'"padding":""', b'"padding":"' + b"x" * (3 * MEBI + over - len(body)) + b'"')
    assert len(body) == 3 * MEBI + over
    response = await post(door, body)
    if over:
        assert response.status_code == 413
        assert any("larger than" in str(record.msg) for record in caplog.records)
    else:
        assert response.json() == {"published": 1}


@pytest.mark.parametrize("stamp", ["1", "4102444800", 0, -1, "yesterday", None, 1e300, "9" * 30, {"a": 1}])
async def test_a_message_of_any_time_is_taken(door: Running, stamp: Any) -> None:
    body = orjson.loads(whatsapp("timed"))
    body["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"] = stamp
    assert (await post(door, orjson.dumps(body))).json() == {"published": 1}
    (found,) = await taken(door, 1)
    message = InboundMessage.FromString(found.body)
    expected = {"1": "1970-01-01T00:00:01Z", "4102444800": "2100-01-01T00:00:00Z"}.get(str(stamp))
    assert (message.sent_at.ToJsonString() if message.HasField("sent_at") else None) == expected


async def test_an_id_of_ten_kilobytes_costs_its_message_alone(
    door: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        response = await post(door, whatsapp("before", "x" * 10_000, "after"))
    assert (response.status_code, response.json()) == (200, {"published": 2})
    assert [item.message_id for item in await taken(door, 2)] == ["wamid.before", "wamid.after"]
    assert any("messages[1]" in str(record.msg) and "longer" in str(record.msg) for record in caplog.records)


async def test_the_question_at_set_up(door: Running) -> None:
    params = {"hub.mode": "subscribe", "hub.verify_token": "verify-token", "hub.challenge": "1158201444"}
    response = await door.http.get("/webhooks/whatsapp", params=params)
    assert (response.status_code, response.text) == (200, "1158201444")
    assert response.headers["content-type"].startswith("text/plain")
    wrong = await door.http.get("/webhooks/whatsapp", params=params | {"hub.verify_token": "x"})
    assert wrong.status_code == 403


async def test_without_a_secret_every_call_is_refused(tmp_path: Path) -> None:
    async with gateway(tmp_path, META_APP_SECRET="", META_VERIFY_TOKEN="") as door:
        body = whatsapp("x")
        for secret in (APP_SECRET, ""):
            response = await post(door, body, signature=signature_of(body, secret))
            assert response.status_code == 403
        params = {"hub.mode": "subscribe", "hub.verify_token": "", "hub.challenge": "1"}
        assert (await door.http.get("/webhooks/whatsapp", params=params)).status_code == 403


async def test_while_escalation_is_away_known_numbers_go_on_and_others_are_asked_to_come_again(
    door: Running,
) -> None:
    assert (await post(door, whatsapp("before"))).status_code == 200
    await door.server.stop()
    assert (await post(door, whatsapp("during"))).json() == {"published": 1}
    response = await post(door, whatsapp("other", number="20202"))
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert [item.message_id for item in await taken(door, 2)] == ["wamid.before", "wamid.during"]


class BrokenQueue:
    """A queue whose broker does not confirm, from the given publish on."""

    def __init__(self, good: int) -> None:
        self.good = good
        self.published: list[Envelope] = []

    async def publish(self, name: QueueName, envelope: Envelope, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        if len(self.published) >= self.good:
            raise QueueUnavailable("no confirm")
        self.published.append(envelope)


class OneTenant:
    """A stub of TenantService that knows every account."""

    async def ResolveChannel(self, request: Any, *, timeout: float) -> Any:  # noqa: ASYNC109
        return Channel(tenant_id="metrica", kind=request.kind, account_id=request.account_id)


@pytest.mark.parametrize("good", [0, 1])
async def test_without_the_brokers_confirm_the_provider_is_asked_to_come_again(good: int) -> None:
    queue: Any = BrokenQueue(good)
    tenants: Any = OneTenant()
    clock = FixedClock()
    webhook = Webhook(
        "whatsapp",
        parse_whatsapp,
        Publisher(ChannelDirectory(tenants, clock), queue, clock),
        app_secret=Secret(APP_SECRET),
        verify_token=Secret("t"),
    )
    app: Any = Page({"POST": webhook.receive})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        body = whatsapp("a", "b")
        headers = {"x-hub-signature-256": signature_of(body, APP_SECRET)}
        response = await http.post("/webhooks/whatsapp", content=body, headers=headers)
    assert response.status_code == 503
    assert response.json()["error"]["details"][0]["reason"] == "QUEUE_AWAY"
    assert len(queue.published) == good
