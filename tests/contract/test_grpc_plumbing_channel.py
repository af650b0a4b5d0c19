"""What a channel adds to every call: shrinking deadlines, retries, replicas, token, trace, request id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from metachat.confidence.v1 import confidence_pb2 as pb
from opentelemetry.trace import SpanKind

from services.common import telemetry
from services.common.caller import current_call
from services.common.errors import Kind, ServiceError, from_rpc_error
from services.common.grpc_channel import open_channel
from services.common.settings import Secret
from services.common.telemetry import continued
from tests.contract.grpc_plumbing_toy import (
    INTERNAL,
    OPERATOR,
    SERVICE,
    ToyConfidence,
    bearer,
    pb_grpc,
    score_request,
    served,
    until,
)


@asynccontextmanager
async def connected(port: int, *, token: Secret = INTERNAL, **options: Any) -> AsyncIterator[Any]:
    async with open_channel(f"127.0.0.1:{port}", token=token, **options) as channel:
        yield pb_grpc.ConfidenceServiceStub(channel)


async def seen(**options: Any) -> dict[str, Any]:
    """What a servicer sees of one call with these options (`call`: those of the call itself)."""
    found: dict[str, Any] = {}

    async def score(request: Any, context: Any) -> Any:
        found["metadata"] = dict(iter(context.invocation_metadata()))
        found["remaining"] = context.time_remaining()
        found["trace"] = telemetry.trace_id()
        return pb.ScoreResponse()

    call = options.pop("call", {})
    async with (
        served(ToyConfidence(score)) as server,
        connected(server.port, service_name=SERVICE, **options) as stub,
    ):
        await stub.Score(score_request(), **call)
    return found


async def test_a_call_without_a_timeout_gets_the_channel_s() -> None:
    # gRPC sends deadlines with two or three digits: a little more may arrive than was given.
    assert 1.0 < (await seen(timeout=2.0))["remaining"] < 2.2
    assert 2.5 < (await seen())["remaining"] < 5.2
    assert 20.0 < (await seen(call={"timeout": 30.0}))["remaining"] < 31.0


async def test_the_channel_s_token_is_sent_unless_the_call_brings_its_own() -> None:
    assert (await seen())["metadata"]["authorization"] == f"Bearer {INTERNAL.reveal()}"
    own = await seen(call={"metadata": bearer(OPERATOR)})
    assert own["metadata"]["authorization"] == f"Bearer {OPERATOR.reveal()}"


async def test_the_trace_goes_along() -> None:
    with continued({}, "a request", SpanKind.SERVER):
        wanted = telemetry.trace_id()
        assert len(wanted) == 32
        assert (await seen())["trace"] == wanted


async def test_a_nested_call_gets_the_rest_of_the_time_and_the_same_trace_and_request_id() -> None:
    inner: dict[str, Any] = {}

    async def back(request: Any, context: Any) -> Any:
        call = current_call()
        inner.update(remaining=context.time_remaining(), trace=telemetry.trace_id(), request=call.request_id)
        return pb.ScoreResponse()

    async with served(ToyConfidence(back)) as behind, connected(behind.port) as nested:

        async def front(request: Any, context: Any) -> Any:
            inner["outer"] = context.time_remaining()
            return await nested.Score(request)

        async with served(ToyConfidence(front)) as server, connected(server.port, token=Secret("")) as stub:
            traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            metadata = bearer(INTERNAL, ("x-request-id", "r-1"), ("traceparent", traceparent))
            await stub.Score(score_request(), timeout=1.0, metadata=metadata)
    assert inner["remaining"] < inner["outer"] - 0.005
    assert inner["remaining"] > 0.5
    assert inner["trace"] == "0af7651916cd43dd8448eb211c80319c"
    assert inner["request"] == "r-1"


async def test_with_no_time_left_the_nested_call_is_not_made() -> None:
    behind_toy = ToyConfidence()
    caught: list[Kind] = []

    async with served(behind_toy) as behind, connected(behind.port) as nested:

        async def front(request: Any, context: Any) -> Any:
            # As if most of the time had gone into something else.
            current_call().deadline = time.monotonic() + 0.004
            try:
                await nested.Score(request)
            except grpc.aio.AioRpcError as error:
                caught.append(from_rpc_error(error).kind)
            return pb.ScoreResponse()

        async with served(ToyConfidence(front)) as server, connected(server.port) as stub:
            await stub.Score(score_request())
    assert caught == [Kind.DEADLINE]
    assert behind_toy.scored == 0


async def test_unavailable_is_tried_again_and_other_failures_are_not() -> None:
    tries: list[str] = []

    async def score(request: Any, context: Any) -> Any:
        tries.append(request.request_id)
        if request.request_id == "broken":
            raise ServiceError(Kind.INTERNAL, "x")
        if tries.count(request.request_id) < 3:
            raise ServiceError(Kind.UNAVAILABLE, "not now")
        return pb.ScoreResponse(request_id="at last")

    async with served(ToyConfidence(score)) as server, connected(server.port) as stub:
        assert (await stub.Score(score_request(request_id="a"))).request_id == "at last"
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Score(score_request(request_id="broken"))
    assert (tries.count("a"), tries.count("broken")) == (3, 1)


async def test_tries_are_bounded() -> None:
    toy = ToyConfidence()

    async def score(request: Any, context: Any) -> Any:
        raise ServiceError(Kind.UNAVAILABLE, "never", retry_after=3.0)

    toy.score = score
    async with served(toy) as server, connected(server.port, attempts=3) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Score(score_request())
    assert toy.scored == 3
    assert from_rpc_error(raised.value).retry_after == 3.0


async def test_a_replica_that_is_not_serving_gets_no_calls() -> None:
    toys = [ToyConfidence(), ToyConfidence()]
    async with served(toys[0]) as one, served(toys[1]) as two:
        address = f"ipv4:127.0.0.1:{one.port},127.0.0.1:{two.port}"
        async with open_channel(address, token=INTERNAL, service_name=SERVICE) as channel:
            stub = pb_grpc.ConfidenceServiceStub(channel)

            async def both_used() -> None:
                while not all(toy.scored for toy in toys):
                    await stub.Score(score_request())

            await asyncio.wait_for(both_used(), 10)
            one.health.set_serving(False)

            async def turned_away() -> None:
                while True:
                    before = toys[0].scored
                    for _ in range(20):
                        await stub.Score(score_request())
                    if toys[0].scored == before:
                        return

            await asyncio.wait_for(turned_away(), 10)


async def test_a_service_that_starts_late_is_found() -> None:
    async with served() as first:
        port = first.port
    async with connected(port) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Score(score_request())
        error = from_rpc_error(raised.value)
        assert error.kind is Kind.UNAVAILABLE
        # Addresses and the library's words are for the log.
        assert str(port) not in error.message and str(port) in error.detail
        async with served(port=port):
            answered: list[bool] = []

            async def ask() -> None:
                while not answered:
                    try:
                        await stub.Score(score_request())
                        answered.append(True)
                    except grpc.aio.AioRpcError:
                        await asyncio.sleep(0.02)

            await asyncio.wait_for(ask(), 10)


async def test_streams_work_both_ways_and_have_a_deadline_too() -> None:
    async with served() as server, connected(server.port, stream_timeout=0.3) as stub:

        async def requests() -> AsyncIterator[pb.ScoreRequest]:
            for index in range(50):
                yield score_request(request_id=str(index))

        answers = [answer.request_id async for answer in stub.StreamScores(requests())]
        assert answers == [str(index) for index in range(50)]

        async def endless() -> AsyncIterator[pb.ScoreRequest]:
            yield score_request()
            await asyncio.Event().wait()

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for _ in stub.StreamScores(endless()):
                pass
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_client_that_leaves_ends_the_stream_on_the_server() -> None:
    toy = ToyConfidence()
    async with served(toy) as server, connected(server.port) as stub:
        call = stub.StreamScores()
        await call.write(score_request(request_id="1"))
        assert (await call.read()).request_id == "1"
        call.cancel()
        await until(toy.stream_closed.is_set)
