"""From the inbound queue to the recorded turn, on both queues, with a real gRPC escalation."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1 import conversation_pb2 as c
from metachat.escalation.v1.knowledge_pb2 import FoundPassage
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.queue.port import Envelope
from tests.integration.worker.conftest import World


async def test_a_message_becomes_a_turn(world: World) -> None:
    world.escalation.passages = [FoundPassage(title="Prices", text="It is 29 euros.", coverage=0.5)]
    world.connect()
    async with world.worker():
        await world.write("How much is it?", reply_to="m0", media_id="9", details_json='{"a": 1}')
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        await world.until_empty(world.inbound)
    (begin,) = world.escalation.requests("BeginTurn")
    assert (begin.message_id, begin.text, begin.contact.address) == ("m1", "How much is it?", "4915112345")
    assert begin.account_id == "555"
    assert '"reply_to":"m0"' in begin.details_json
    assert '"a":1' in begin.details_json
    assert not begin.record_only
    (complete,) = world.escalation.requests("CompleteTurn")
    assert complete.turn_id == "turn-m1"
    assert complete.draft.responder == "knowledge"


@pytest.mark.parametrize(
    ("fields", "record_only", "media"),
    [
        ({"kind": InboundMessage.REACTION, "text": ""}, True, ""),
        ({"kind": InboundMessage.SYSTEM, "text": ""}, True, ""),
        ({"kind": InboundMessage.MEDIA, "text": "", "media_kind": "image"}, False, "image"),
        ({"kind": InboundMessage.UNSUPPORTED, "text": ""}, False, "unsupported"),
    ],
)
async def test_what_is_no_text(
    world: World, fields: dict[str, object], record_only: bool, media: str
) -> None:
    world.connect()
    async with world.worker():
        await world.write(**fields)  # type: ignore[arg-type]
        await world.until(lambda: world.escalation.requests("BeginTurn"))
        await world.until_empty(world.inbound)
    (begin,) = world.escalation.requests("BeginTurn")
    assert (begin.record_only, begin.media_kind) == (record_only, media)


async def test_a_disabled_channel_is_recorded_only(world: World) -> None:
    world.connect(enabled=False)
    async with world.worker():
        await world.write()
        await world.until(lambda: world.escalation.requests("BeginTurn"))
    assert world.escalation.requests("BeginTurn")[0].record_only


async def test_poison_is_put_aside_and_the_worker_goes_on(world: World) -> None:
    world.connect()
    inbound = InboundMessage.DESCRIPTOR.full_name
    foreign = InboundMessage(tenant_id="another", channel=2, account_id="5", message_id="x", kind=1)
    foreign.contact.address = "1"
    bodies = [
        (b"\xff\xff\xff this is no protobuf", inbound),
        (b"", inbound),
        (b"{}", "application/json"),
        (b"", "metachat.channel.v1.OutboundMessage"),
        (foreign.SerializeToString(), inbound),
    ]
    async with world.worker():
        for number, (body, kind) in enumerate(bodies):
            await world.queue.publish(world.inbound, Envelope(body, kind, f"bad-{number}" * 30))
        await world.until_dead(world.inbound, len(bodies))
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"))


async def test_a_conversation_that_is_behind_is_parked_and_costs_no_try(world: World) -> None:
    behind = c.BeginTurnResponse()
    behind.behind.retry_after.FromMilliseconds(100)
    world.escalation.then("BeginTurn", *[behind] * 4)
    world.connect()
    async with world.worker(max_retries=0):
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        await world.until_empty(world.inbound)
    assert len(world.escalation.requests("BeginTurn")) == 5
    assert world.escalation.requests("FailTurn") == []


async def test_escalation_away_costs_no_try(world: World) -> None:
    world.escalation.then("BeginTurn", *[grpc.StatusCode.UNAVAILABLE] * 6)
    world.connect()
    async with world.worker(max_retries=0):
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"), seconds=30)
    assert world.escalation.requests("FailTurn") == []


async def test_messages_of_a_conversation_keep_their_order_while_escalation_is_away(world: World) -> None:
    world.escalation.then("BeginTurn", *[grpc.StatusCode.UNAVAILABLE] * 6)
    world.connect()
    async with world.worker(max_retries=0):
        for number in range(4):
            await world.write(message_id=f"m{number}")
        await world.until(lambda: len(world.escalation.requests("CompleteTurn")) == 4, seconds=30)
        await world.until_empty(world.inbound)
    begun = [request.message_id for request in world.escalation.requests("BeginTurn")]
    assert begun == sorted(begun)
    assert set(begun) == {"m0", "m1", "m2", "m3"}


async def test_what_is_kept_in_hand_goes_back_unsettled_when_the_worker_stops(world: World) -> None:
    world.escalation.then("BeginTurn", *[grpc.StatusCode.UNAVAILABLE] * 500)
    world.connect()
    async with world.worker(max_retries=0):
        await world.write()
        await world.until(lambda: world.escalation.requests("BeginTurn"))
    assert world.escalation.requests("CompleteTurn") == []
    world.escalation.forget("BeginTurn")
    async with world.worker(max_retries=0):
        await world.until(lambda: world.escalation.requests("CompleteTurn"), seconds=30)
        await world.until_empty(world.inbound)
    assert world.escalation.requests("FailTurn") == []


async def test_tries_used_up_hand_over_and_put_aside(world: World) -> None:
    world.escalation.then("BeginTurn", *[grpc.StatusCode.INTERNAL] * 2)
    world.connect()
    async with world.worker(max_retries=1):
        await world.write()
        await world.until_dead(world.inbound)
    (failed,) = world.escalation.requests("FailTurn")
    assert (failed.tenant_id, failed.message_id) == (world.tenant, "m1")
    assert "INTERNAL" in failed.detail
    assert len(world.escalation.requests("BeginTurn")) == 2


@pytest.mark.parametrize("rpc", ["CompleteTurn", "BeginTurn"])
@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
    ],
)
async def test_a_customer_whose_turn_is_refused_is_handed_to_a_person(
    world: World, rpc: str, status: grpc.StatusCode
) -> None:
    """The message is accepted: whatever is wrong with it or its draft, nobody is to wait for nothing."""
    world.escalation.then(rpc, *[status] * 20)
    world.connect()
    async with world.worker(max_retries=1):
        await world.write()
        await world.until_dead(world.inbound)
    (failed,) = world.escalation.requests("FailTurn")
    assert (failed.message_id, failed.text) == ("m1", "How much is it?")


@pytest.mark.parametrize(("rpc", "told"), [("BeginTurn", 0), ("CompleteTurn", 1)])
async def test_a_conflict_is_handed_over_where_the_turn_is_begun(world: World, rpc: str, told: int) -> None:
    """Before, its id is that of another message: that one is recorded, and this one would not be."""
    world.escalation.then(rpc, grpc.StatusCode.ALREADY_EXISTS)
    world.connect()
    async with world.worker(max_retries=1):
        await world.write()
        await world.until_dead(world.inbound)
    assert len(world.escalation.requests("FailTurn")) == told


async def test_a_message_is_not_put_aside_before_a_person_is_told(world: World) -> None:
    world.escalation.then("BeginTurn", *[grpc.StatusCode.INTERNAL] * 5)
    world.escalation.then("FailTurn", grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE)
    world.connect()
    async with world.worker(max_retries=0):
        await world.write()
        await world.until_dead(world.inbound)
    assert len(world.escalation.requests("FailTurn")) == 3


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS])
async def test_a_message_that_is_refused_for_good_is_put_aside_at_once(
    world: World, code: grpc.StatusCode
) -> None:
    world.escalation.then("BeginTurn", code)
    world.connect()
    async with world.worker(max_retries=5):
        await world.write()
        await world.until_dead(world.inbound)
    assert len(world.escalation.requests("BeginTurn")) == 1


async def test_handling_that_takes_too_long_is_given_back(world: World) -> None:
    world.escalation.then("BeginTurn", 30.0)
    world.connect()
    async with world.worker(visibility_timeout=0.5):
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        await world.until_empty(world.inbound)
    assert len(world.escalation.requests("BeginTurn")) == 2


async def test_a_status_is_reported(world: World) -> None:
    world.connect()
    async with world.worker():
        await world.report("DELIVERED")
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
        await world.until_empty(world.inbound)
    (report,) = world.escalation.requests("ReportDelivery")
    assert (report.outbound_id, report.attempt) == ("o1", 0)
    assert report.state == c.ReportDeliveryRequest.DELIVERED


async def test_an_echo_of_a_person_is_recorded_and_starts_no_turn(world: World) -> None:
    world.connect()
    async with world.worker():
        await world.write("I'll take it from here", kind=InboundMessage.ECHO, media_kind="image")
        await world.until(lambda: world.escalation.requests("RecordHumanReply"))
        await world.until_empty(world.inbound)
    (reply,) = world.escalation.requests("RecordHumanReply")
    assert (reply.message_id, reply.text, reply.media_kind) == ("m1", "I'll take it from here", "image")
    assert (reply.contact.address, reply.account_id) == ("4915112345", "555")
    assert world.escalation.requests("BeginTurn") == []


def on_channel(world: World) -> None:
    """Drafts say which channel they are for, with its token."""
    channel = world.escalation.task.channel
    channel.kind, channel.account_id, channel.access_token = Channel.WHATSAPP, "555", "secret-token"


async def test_the_customer_sees_that_an_answer_is_being_written(world: World) -> None:
    on_channel(world)
    world.connect()
    async with world.worker():
        await world.write()
        await world.until(lambda: world.meta.shown and world.escalation.requests("CompleteTurn"))
    (shown,) = world.meta.shown
    assert (shown.path, shown.headers["authorization"]) == ("/555/messages", "Bearer secret-token")
    assert shown.json == {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": "m1",
        "typing_indicator": {"type": "text"},
    }
    assert world.meta.requests == []


async def test_typing_that_fails_or_is_switched_off_changes_nothing(world: World) -> None:
    on_channel(world)
    world.connect()
    async with world.worker(whatsapp_api="http://127.0.0.1:1"):
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
    async with world.worker(typing=False):
        await world.write(message_id="m2")
        await world.until(lambda: len(world.escalation.requests("CompleteTurn")) == 2)
        await world.until_empty(world.inbound)
    assert world.meta.shown == []


async def test_a_turn_that_cannot_be_finished_in_time_is_given_back_by_name(world: World) -> None:
    world.escalation.then("CompleteTurn", 60.0)
    world.connect()
    async with world.worker(drain=0.2) as stop:
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        stop.set()
    (released,) = world.escalation.requests("ReleaseTurn")
    assert (released.turn_id, released.fence) == ("turn-m1", 1)


async def test_what_could_never_be_begun_says_whose_it_was(world: World) -> None:
    world.escalation.then("BeginTurn", grpc.StatusCode.INTERNAL)
    world.connect()
    async with world.worker(max_retries=0):
        await world.write("Where is my parcel?")
        await world.until_dead(world.inbound)
    (failed,) = world.escalation.requests("FailTurn")
    assert (failed.text, failed.contact.address, failed.account_id) == (
        "Where is my parcel?",
        "4915112345",
        "555",
    )


async def test_drains_what_is_in_hand(world: World) -> None:
    world.escalation.then("CompleteTurn", 1.0)
    world.connect()
    async with world.worker() as stop:
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        stop.set()
    await world.until_empty(world.inbound)
    assert len(world.escalation.requests("BeginTurn")) == 1


async def test_gives_back_what_it_cannot_finish(world: World) -> None:
    world.escalation.then("BeginTurn", 60.0)
    world.connect()
    async with world.worker(drain=0.2) as stop:
        await world.write()
        await world.until(lambda: world.escalation.requests("BeginTurn"))
        stop.set()
    async with world.worker():
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        await world.until_empty(world.inbound)


async def test_tenants_and_channels_come_and_go(world: World) -> None:
    async with world.worker():
        await world.until(lambda: world.escalation.requests("WatchTenants"))
        states = (await world.get("/ready")).json()["dependencies"]
        assert states["tenants"] == 0
        world.connect()
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        world.escalation.drop_tenant(world.tenant)

        async with asyncio.timeout(15):
            while True:
                if not (await world.get("/ready")).json()["dependencies"]["queues"]:
                    break
                await asyncio.sleep(0.02)
        await world.write(message_id="m2")
        await world.until_depth(world.inbound, lambda depth: depth.ready == 1)
        assert len(world.escalation.requests("BeginTurn")) == 1


async def test_health_ready_metrics(world: World) -> None:
    world.connect()
    async with world.worker():
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        await world.until_empty(world.inbound)
        assert (await world.get("/health")).json() == {"status": "ok"}
        ready = await world.get("/ready")
        assert ready.status_code == 200
        assert ready.json()["dependencies"]["queue"] == "ok"
        assert ready.json()["dependencies"]["queues"] == 2
        metrics = (await world.get("/metrics")).text
        assert (
            'metachat_worker_messages_total{channel="whatsapp",direction="inbound",settled="ack"}' in metrics
        )
        assert (await world.get("/nowhere")).status_code == 404


async def test_not_ready_without_escalation_and_back_again(world: World) -> None:
    world.connect()
    port = world.escalation.port
    async with world.worker():
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        await world.escalation.stop()

        async def until_ready(wanted: bool) -> None:
            async with asyncio.timeout(20):
                while True:
                    if ((await world.get("/ready")).status_code == 200) is wanted:
                        return
                    await asyncio.sleep(0.05)

        await until_ready(False)
        assert (await world.get("/health")).status_code == 200
        await world.write(message_id="m2")
        await world.escalation.start(port)
        await world.until(lambda: len(world.escalation.requests("CompleteTurn")) == 2, seconds=30)
        await until_ready(True)
