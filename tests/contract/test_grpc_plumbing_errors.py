"""What a caller is told when something is wrong, and what stays in the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from metachat.confidence.v1 import confidence_pb2 as pb

from services.common import metrics
from services.common.errors import STATUS_KEY, TABLE, FieldFault, Kind, ServiceError, from_rpc_error
from services.common.grpc_channel import open_channel
from services.common.logs import configure_logging
from tests.contract.grpc_plumbing_toy import (
    INTERNAL,
    SERVICE,
    ToyConfidence,
    bare_stub,
    bearer,
    pb_grpc,
    score_request,
    served,
    until,
)


@pytest.fixture
def log() -> Iterator[StringIO]:
    stream = StringIO()
    configure_logging("toy", production=True, level="INFO", stream=stream)
    yield stream
    configure_logging("tests", production=False, level="WARNING")


def lines(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def failure(score: Any, request: Any = None, **options: Any) -> grpc.aio.AioRpcError:
    """What a call gets whose servicer does `score`."""
    async with served(ToyConfidence(score)) as server, bare_stub(server) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Score(request or score_request(), metadata=bearer(INTERNAL), **options)
        return raised.value


@pytest.mark.parametrize("kind", Kind)
async def test_every_kind_but_internal_arrives_as_it_was_raised(kind: Kind) -> None:
    sent = ServiceError(
        kind,
        "Die Konversation gehört Ana.",
        reason="HELD",
        fields=(FieldFault("settings.mode", "unknown mode"),),
        detail="private",
        retry_after=1.5,
        metadata={"holder": "ana"},
    )

    async def score(request: Any, context: Any) -> Any:
        raise sent

    error = await failure(score)
    assert error.code().value[0] == TABLE[kind].code
    received = from_rpc_error(error)
    if kind is Kind.INTERNAL:
        assert received.reason == "INTERNAL"
        assert "Konversation" not in received.message
        return
    same = ("message", "reason", "fields", "retry_after", "metadata")
    assert {name: getattr(received, name) for name in same} == {name: getattr(sent, name) for name in same}
    assert received.detail == ""
    # By reason a 413 and a 429 differ; a reason of its own hides that, so the kind may be the commoner one.
    assert received.kind is (Kind.RATE_LIMITED if kind is Kind.TOO_LARGE else kind)


async def test_the_status_details_are_those_of_google_rpc() -> None:
    async def score(request: Any, context: Any) -> Any:
        raise ServiceError(Kind.TOO_LARGE, "too large", fields=(FieldFault("reply", "is too long"),))

    status = rpc_status.from_call(await failure(score))
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info) and status.details[1].Unpack(bad)
    assert (info.domain, info.reason) == ("metachat", "TOO_LARGE")
    assert (bad.field_violations[0].field, bad.field_violations[0].description) == ("reply", "is too long")


async def test_the_text_of_an_unhandled_exception_stays_in_the_log_under_the_id_the_caller_gets(log) -> None:
    async def score(request: Any, context: Any) -> Any:
        raise KeyError("postgresql://user:hunter2@db/metachat")

    error = await failure(score)
    assert error.code() is grpc.StatusCode.INTERNAL
    error_id = from_rpc_error(error).metadata["error_id"]
    assert error.details() == f"internal error {error_id}"
    everything = error.details() + repr(error.trailing_metadata()) + error.debug_error_string()
    assert "hunter2" not in everything and "KeyError" not in everything
    line = next(line for line in lines(log) if line.get("error_id") == error_id)
    assert line["service"] == "toy" and line["rpc"] == f"{SERVICE}/Score" and len(line["trace_id"]) == 32
    assert "KeyError" in line["exception"] and "hunter2" not in line["exception"]


@pytest.mark.parametrize("answer", [None, "text", pb.Scorer(version="x")])
async def test_a_servicer_that_returns_the_wrong_thing_is_an_internal_error(answer) -> None:
    async def score(request: Any, context: Any) -> Any:
        return answer

    assert (await failure(score)).details().startswith("internal error ")


async def test_a_cancelled_future_inside_a_servicer_does_not_leave_the_caller_waiting() -> None:
    async def score(request: Any, context: Any) -> Any:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    assert (await failure(score, timeout=5)).code() is grpc.StatusCode.INTERNAL


async def test_a_status_that_the_servicer_aborted_with_is_left_alone() -> None:
    async def score(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.DATA_LOSS, "as it wished")

    counter = metrics.RPC_SERVER_HANDLED.labels(SERVICE, "Score", "DATA_LOSS")
    before = counter._value.get()
    error = await failure(score)
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "as it wished")
    assert counter._value.get() == before + 1


async def test_a_broken_rule_names_the_field_by_its_path() -> None:
    request = score_request(self_assessment=3.0)
    request.passages.add(text="fine")
    request.passages.add(text="x" * 70_000)
    request.high_stakes_terms.extend(["ok", ""])
    error = from_rpc_error(await failure(None, request))
    assert error.kind is Kind.INVALID
    assert {fault.field for fault in error.fields} == {
        "passages[1].text",
        "self_assessment",
        "high_stakes_terms[1]",
    }
    assert error.message == f"{error.fields[0].field}: {error.fields[0].description} (and 2 more)"


async def test_thousands_of_broken_rules_still_fit_into_one_answer() -> None:
    request = score_request()
    for _ in range(5000):
        request.token_logprobs.add(token="ž" * 200, logprob=1.0)
    error = from_rpc_error(await failure(None, request))
    assert error.kind is Kind.INVALID and "more)" in error.message
    assert error.fields[0].field.startswith("token_logprobs[0]")


@pytest.mark.parametrize("size", [10, 400, 4000, 400_000])
async def test_texts_of_any_length_arrive_as_the_right_code(size: int) -> None:
    async def score(request: Any, context: Any) -> Any:
        faults = tuple(FieldFault("ž" * size, "ž" * size) for _ in range(30))
        raise ServiceError(Kind.STALE, "ž" * size, fields=faults, metadata={"a": "ž" * size, "b": "c"})

    error = await failure(score)
    assert error.code() is grpc.StatusCode.ABORTED
    assert from_rpc_error(error).fields


@pytest.mark.parametrize("body", [b"\x0a\x02\xff\xfe", b"\xff\xff\xff", b"\x1a\x7fshort", bytes(5000)])
async def test_a_body_that_is_no_message_is_invalid(body: bytes) -> None:
    """Among them text that is not UTF-8, which a stock server answers as UNKNOWN."""
    async with served() as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary(f"/{SERVICE}/Score")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(body, metadata=bearer(INTERNAL))
        assert from_rpc_error(raised.value).kind is Kind.INVALID
        assert from_rpc_error(raised.value).reason == "MALFORMED"


async def test_nesting_without_end_is_invalid() -> None:
    body = b""
    for _ in range(200):  # field 12, Calibration, has no recursion: unknown groups do
        body = b"\xfb\x07" + body + b"\xfc\x07"
    async with served() as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(f"/{SERVICE}/Score")(body, metadata=bearer(INTERNAL))
        assert from_rpc_error(raised.value).kind is Kind.INVALID


async def test_a_message_over_the_limit_is_too_large() -> None:
    async with served(max_message_bytes=10_000) as server, bare_stub(server) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Score(score_request(reply="x" * 20_000), metadata=bearer(INTERNAL))
        assert from_rpc_error(raised.value).kind is Kind.TOO_LARGE


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        (Kind.UNAVAILABLE, Kind.UNAVAILABLE),
        (Kind.DEADLINE, Kind.DEADLINE),
        (Kind.INVALID, Kind.INTERNAL),
        (Kind.UNAUTHENTICATED, Kind.INTERNAL),
    ],
)
async def test_a_failed_nested_call_is_the_caller_s_fault_only_where_it_is(inner: Kind, outer: Kind) -> None:
    """A service whose own call is refused must not tell its caller that the caller's request was wrong."""

    async def fail(request: Any, context: Any) -> Any:
        raise ServiceError(inner, "inner text", retry_after=2.0)

    async with served(ToyConfidence(fail)) as back:
        channel = open_channel(f"127.0.0.1:{back.port}", token=INTERNAL, attempts=1)
        stub = pb_grpc.ConfidenceServiceStub(channel)

        async def score(request: Any, context: Any) -> Any:
            return await stub.Score(request)

        error = from_rpc_error(await failure(score))
        await channel.close()
    assert error.kind is outer
    assert error.retry_after == (2.0 if outer is inner else None)


async def test_a_call_that_outlives_its_deadline_is_stopped_and_counted() -> None:
    cancelled = asyncio.Event()

    async def score(request: Any, context: Any) -> Any:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    counter = metrics.RPC_SERVER_HANDLED.labels(SERVICE, "Score", "DEADLINE_EXCEEDED")
    before = counter._value.get()
    error = await failure(score, timeout=0.1)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(cancelled.wait(), 5)
    await until(lambda: counter._value.get() == before + 1)


async def test_refusals_are_logged_with_the_private_detail_and_the_request_id(log) -> None:
    async def score(request: Any, context: Any) -> Any:
        raise ServiceError(Kind.CONFLICT, "public", detail="private reason")

    async with served(ToyConfidence(score)) as server, bare_stub(server) as stub:
        traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Score(
                score_request(tenant_id="metrica"),
                metadata=bearer(INTERNAL, ("x-request-id", "req-1"), ("traceparent", traceparent)),
            )
    assert "private reason" not in repr(raised.value)
    line = next(line for line in lines(log) if line["event"] == "rpc refused")
    wanted = {
        "detail": "private reason",
        "request": "req-1",
        "tenant": "metrica",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "code": "ALREADY_EXISTS",
    }
    assert wanted.items() <= line.items()
    assert INTERNAL.reveal() not in log.getvalue()


async def test_the_details_stand_where_every_grpc_library_looks() -> None:
    async def score(request: Any, context: Any) -> Any:
        raise ServiceError(Kind.NOT_FOUND, "no")

    assert STATUS_KEY in [key for key, _ in (await failure(score)).trailing_metadata()]
