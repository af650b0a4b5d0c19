"""The synchronous view: the same servicer through grpcio-testing, which neither awaits nor intercepts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import grpc
import grpc_testing
import pytest
from google.rpc import status_pb2
from metachat.confidence.v1 import confidence_pb2 as pb

from services.common.caller import Caller, current_caller
from services.common.errors import STATUS_KEY, Kind, ServiceError, from_status, invalid_field
from services.common.testing import SyncView

SERVICE = pb.DESCRIPTOR.services_by_name["ConfidenceService"]
ANA = Caller("ana", frozenset({"CHAT"}), "metrica")


class Servicer:
    async def Score(self, request, context):
        await asyncio.sleep(0)
        if request.user_message == "refuse":
            raise invalid_field("reply", "is bad")
        if request.user_message == "break":
            raise KeyError("bug")
        return pb.ScoreResponse(request_id=current_caller().subject)

    async def StreamScores(self, requests, context) -> AsyncIterator[pb.ScoreResponse]:
        async for request in requests:
            if request.user_message == "refuse":
                raise ServiceError(Kind.STALE, "too old")
            yield pb.ScoreResponse(request_id=f"{request.request_id} {current_caller().subject}")


@pytest.fixture
def view() -> Iterator[SyncView]:
    with SyncView(Servicer(), caller=ANA) as view:
        yield view


def invoke(view: SyncView, name: str, request: pb.ScoreRequest):
    server = grpc_testing.server_from_dictionary({SERVICE: view}, grpc_testing.strict_real_time())
    return server.invoke_unary_unary(SERVICE.methods_by_name[name], (), request, 5)


def test_a_coroutine_runs_to_its_answer(view: SyncView) -> None:
    response, _, code, _ = invoke(view, "Score", pb.ScoreRequest()).termination()
    assert (response.request_id, code) == ("ana", grpc.StatusCode.OK)


def test_a_service_error_becomes_the_status_a_real_server_sends(view: SyncView) -> None:
    call = invoke(view, "Score", pb.ScoreRequest(user_message="refuse"))
    _, trailers, code, details = call.termination()
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, "reply: is bad")
    error = from_status(status_pb2.Status.FromString(dict(trailers)[STATUS_KEY]))
    assert [(fault.field, fault.description) for fault in error.fields] == [("reply", "is bad")]


def test_a_stream_is_fed_and_drained(view: SyncView) -> None:
    server = grpc_testing.server_from_dictionary({SERVICE: view}, grpc_testing.strict_real_time())
    call = server.invoke_stream_stream(SERVICE.methods_by_name["StreamScores"], (), 5)
    for request_id in ("1", "2"):
        call.send_request(pb.ScoreRequest(request_id=request_id))
        assert call.take_response().request_id == f"{request_id} ana"
    call.send_request(pb.ScoreRequest(user_message="refuse"))
    _, code, details = call.termination()
    assert (code, details) == (grpc.StatusCode.ABORTED, "too old")


def test_other_exceptions_are_left_to_the_test(view: SyncView) -> None:
    with pytest.raises(KeyError):
        view.Score(pb.ScoreRequest(user_message="break"), None)


def test_a_loop_that_is_given_is_used_and_left_running() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with SyncView(Servicer(), loop=loop) as view:
            assert view.Score(pb.ScoreRequest(), None).request_id == "tester"
        assert loop.is_running()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
