"""From the outbound queue to the provider's send API, each message once."""

from __future__ import annotations

import dataclasses
import time

import grpc
import pytest
from metachat.escalation.v1 import conversation_pb2 as c
from metachat.escalation.v1.conversation_pb2 import Contact

from tests.integration.worker.conftest import World
from tests.providers import meta_server as meta
from tests.providers.scripted import Reply, Request

State = c.ReportDeliveryRequest


def states(world: World) -> list[str]:
    return [State.State.Name(report.state) for report in world.escalation.requests("ReportDelivery")]


async def delivered(world: World, **changes: object) -> None:
    """Connect, send one message, and wait until it is settled."""
    world.connect()
    async with world.worker(**changes):
        await world.send(reply_to="wamid.question")
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
        await world.until_empty(world.outbound)


async def test_claims_sends_reports(world: World) -> None:
    await delivered(world)
    (request,) = world.meta.requests
    assert request.path == "/555/messages"
    assert request.headers["authorization"] == "Bearer secret-token"
    assert request.json == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "4915112345",
        "type": "text",
        "text": {"body": "Hello!", "preview_url": False},
        "biz_opaque_callback_data": "o1",
        "context": {"message_id": "wamid.question"},
    }
    (report,) = world.escalation.requests("ReportDelivery")
    assert (report.outbound_id, report.attempt, report.provider_message_id) == ("o1", 1, "wamid.test1")
    assert states(world) == ["SENT"]


async def test_the_report_says_when_the_provider_was_called_not_when_it_answered(world: World) -> None:
    arrived: list[float] = []

    def slow(request: Request) -> Reply:
        arrived.append(time.time())
        return dataclasses.replace(world.meta.answer(request), delay=0.3)

    world.meta.script(slow)
    began = time.time()
    await delivered(world)
    (report,) = world.escalation.requests("ReportDelivery")
    assert began <= report.occurred_at.ToMicroseconds() / 1e6 <= arrived[0]


async def test_a_contact_without_a_number_is_reached_by_user_id(world: World) -> None:
    world.connect()
    async with world.worker():
        await world.send(contact=Contact(user_id="US.13491"))
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
    sent = world.meta.requests[0].json
    assert sent["recipient"] == "US.13491"
    assert "to" not in sent


@pytest.mark.parametrize("verdict", ["ALREADY_DONE", "CANCELLED", "UNKNOWN"])
async def test_what_must_not_be_sent_is_acknowledged(world: World, verdict: str) -> None:
    claim = c.ClaimDeliveryResponse(verdict=c.ClaimDeliveryResponse.Verdict.Value(verdict))
    world.escalation.then("ClaimDelivery", claim)
    world.connect()
    async with world.worker():
        await world.send()
        await world.until(lambda: world.escalation.requests("ClaimDelivery"))
        await world.until_empty(world.outbound)
    assert world.meta.requests == []
    assert states(world) == []


async def test_a_busy_one_comes_back(world: World) -> None:
    busy = c.ClaimDeliveryResponse(verdict=c.ClaimDeliveryResponse.BUSY)
    busy.retry_after.FromMilliseconds(100)
    world.escalation.then("ClaimDelivery", busy, busy)
    await delivered(world, max_retries=0)
    assert len(world.escalation.requests("ClaimDelivery")) == 3
    assert states(world) == ["SENT"]


async def test_a_long_text_goes_out_in_ordered_parts(world: World) -> None:
    sentences = [f"This is sentence number {number} of a long answer." for number in range(250)]
    world.connect()
    async with world.worker():
        await world.send(" ".join(sentences), reply_to="wamid.q")
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
    assert len(world.meta.texts) == 3
    assert " ".join(world.meta.texts) == " ".join(sentences)
    assert all(len(text) <= 4096 and text.endswith(".") for text in world.meta.texts)
    assert ["context" in request.json for request in world.meta.requests] == [True, False, False]
    assert states(world) == ["SENT"]


@pytest.mark.parametrize(
    "fault",
    [meta.error(130429), meta.error(80007), meta.error(131000, status=500), Reply(503)],
)
async def test_a_passing_fault_is_tried_again(world: World, fault: Reply) -> None:
    world.meta.script(fault)
    world.connect()
    async with world.worker():
        await world.send()
        await world.until(lambda: len(world.escalation.requests("ReportDelivery")) == 2)
        await world.until_empty(world.outbound)
    assert states(world) == ["NOT_SENT", "SENT"]
    assert len(world.escalation.requests("ClaimDelivery")) == 2


async def test_tries_used_up_end_as_failed_and_put_aside(world: World) -> None:
    world.meta.script(*[meta.error(131000)] * 2)
    world.connect()
    async with world.worker(max_retries=1):
        await world.send()
        await world.until_dead(world.outbound)
    assert states(world) == ["NOT_SENT", "FAILED"]


async def test_a_limit_costs_no_try_and_slows_the_account(world: World) -> None:
    world.meta.script(meta.error(130429))
    world.connect()
    async with world.worker(max_retries=0):
        await world.send("One", "o1")
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
        await world.send("Two", "o2")
        await world.until(lambda: len(world.meta.requests) == 3)
        await world.until_empty(world.outbound)
    first, *later = world.meta.requests
    assert all(request.at - first.at > 1.0 for request in later)
    assert sorted(states(world)) == ["NOT_SENT", "SENT", "SENT"]


async def test_an_outage_opens_the_circuit_and_loses_nothing(world: World) -> None:
    world.meta.script(*[meta.error(131000, status=500)] * 3)
    world.connect()
    for number in range(6):
        await world.send(f"Text {number}", f"o{number}")
    async with world.worker(max_retries=2):
        await world.until(lambda: len(world.meta.requests) >= 9, 40)
        await world.until_empty(world.outbound)
    assert states(world).count("SENT") == 6
    assert "FAILED" not in states(world)


async def test_a_token_that_is_refused_is_said_and_waited_for(world: World) -> None:
    world.meta.script(meta.error(190, "secret-token is bad", status=401))
    world.connect()
    async with world.worker(max_retries=0):
        await world.send()
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
        await world.until_depth(world.outbound, lambda depth: not (depth.ready or depth.unacked))
    (report,) = world.escalation.requests("ReportDelivery")
    assert (report.attention, report.error_code, states(world)) == ("reconnect", "190", ["NOT_SENT"])
    assert "secret-token" not in report.error_detail


async def test_a_number_sends_no_faster_than_it_may(world: World) -> None:
    world.connect()
    for number in range(4):
        await world.send(f"Text {number}", f"o{number}", contact=Contact(address=f"49{number}"))
    async with world.worker(whatsapp_rate=2.0):
        await world.until(lambda: len(world.meta.requests) == 4)
        await world.until_empty(world.outbound)
    times = sorted(request.at for request in world.meta.requests)
    # Two at once, then one each half second.
    assert times[-1] - times[0] > 0.8
    assert states(world) == ["SENT"] * 4


@pytest.mark.parametrize("code", [131047, 131026, 131031, 131051, 100])
async def test_what_will_never_work_is_not_tried_again(world: World, code: int) -> None:
    world.meta.script(meta.error(code, "secret-token is bad"))
    await delivered(world)
    assert states(world) == ["FAILED"]
    (report,) = world.escalation.requests("ReportDelivery")
    assert report.error_code == str(code)
    assert "secret-token" not in report.error_detail
    assert len(world.meta.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        meta.RESET_AFTER_READING,
        Reply.of({"messages": [{"id": "wamid.lost"}]}, cut=5),
        Reply(200, b"<html>", {"content-type": "text/html"}),
        Reply(504, b"gateway timeout"),
        Reply(raw=b"no http at all\r\n\r\n"),
    ],
    ids=["reset", "cut", "html", "gateway", "garbage"],
)
async def test_an_unknown_result_is_never_repeated(world: World, fault: Reply) -> None:
    world.meta.script(fault)
    await delivered(world)
    assert states(world) == ["DELIVERY_UNKNOWN"]
    assert len(world.meta.requests) == 1


async def test_nobody_listens_is_surely_not_sent(world: World) -> None:
    world.connect()
    async with world.worker(whatsapp_api="http://127.0.0.1:1", max_retries=0):
        await world.send()
        await world.until_dead(world.outbound)
    assert states(world) == ["FAILED"]
    assert world.escalation.requests("ReportDelivery")[0].error_code == "no_connection"


async def test_a_later_part_is_tried_again_alone(world: World) -> None:
    text = "A sentence that fills. " * 300
    accept = world.meta.answer
    world.meta.script(accept, meta.error(131056))
    world.connect()
    async with world.worker():
        await world.send(text)
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
    first, refused, again = world.meta.texts
    assert refused == again != first
    assert states(world) == ["SENT"]


async def test_a_break_in_the_middle_is_said_and_not_repeated(world: World) -> None:
    world.meta.script(world.meta.answer, meta.error(131047))
    world.connect()
    async with world.worker():
        await world.send("A sentence that fills. " * 300)
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
        await world.until_empty(world.outbound)
    (report,) = world.escalation.requests("ReportDelivery")
    assert (report.error_code, state_of(report)) == ("partly_sent", "FAILED")


def state_of(report: c.ReportDeliveryRequest) -> str:
    return State.State.Name(report.state)


async def test_a_report_is_repeated_until_it_is_taken(world: World) -> None:
    world.escalation.then("ReportDelivery", *[grpc.StatusCode.UNAVAILABLE] * 2)
    world.connect()
    async with world.worker():
        await world.send()
        await world.until_empty(world.outbound)
        await world.until(lambda: len(world.escalation.requests("ReportDelivery")) >= 3)
    assert len(world.meta.requests) == 1


async def test_messages_of_one_conversation_stay_in_order(world: World) -> None:
    world.connect()
    for number in range(10):
        await world.send(f"Part {number}", outbound_id=f"o{number}")
    async with world.worker(concurrency=8):
        await world.until(lambda: len(world.meta.requests) == 10)
        await world.until_empty(world.outbound)
    assert world.meta.texts == [f"Part {number}" for number in range(10)]
