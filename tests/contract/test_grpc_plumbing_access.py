"""Who gets through the door of a server, and what the others are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from metachat.confidence.v1 import confidence_pb2 as pb

from services.common.errors import from_rpc_error
from tests.contract.grpc_plumbing_toy import (
    INTERNAL,
    OPERATOR,
    ToyConfidence,
    bare_stub,
    bearer,
    score_request,
    served,
)


@pytest.fixture
async def toy() -> ToyConfidence:
    return ToyConfidence()


@pytest.fixture
async def stub(toy: ToyConfidence) -> AsyncIterator[Any]:
    async with served(toy) as server, bare_stub(server) as stub:
        yield stub


async def refusal(call: Any) -> tuple[str, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    error = from_rpc_error(raised.value)
    return raised.value.code().name, error.reason, error.message


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer "),),
        (("authorization", "Basic dXNlcjpwYXNz"),),
        (("authorization", INTERNAL.reveal()),),
    ],
)
async def test_a_call_without_a_bearer_is_unauthenticated(stub, toy, metadata) -> None:
    code, reason, _ = await refusal(stub.Score(score_request(), metadata=metadata))
    assert (code, reason) == ("UNAUTHENTICATED", "TOKEN_MISSING")
    assert toy.scored == 0


@pytest.mark.parametrize("token", ["wrong", INTERNAL.reveal()[:-1], INTERNAL.reveal() + "x", "x" * 5000])
async def test_an_unknown_token_is_unauthenticated_and_not_repeated(stub, token) -> None:
    code, reason, message = await refusal(stub.Score(score_request(), metadata=bearer(token)))
    assert (code, reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")
    assert token not in message


async def test_scopes_decide_and_the_message_names_the_ones_that_would_do(stub) -> None:
    metadata = bearer("public-of-metrica")
    code, reason, message = await refusal(stub.Score(score_request(), metadata=metadata))
    assert (code, reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert message == "ConfidenceService.Score needs the scope admin or chat or internal or operator"
    code, _, _ = await refusal(stub.BuildInstructions(pb.BuildInstructionsRequest(), metadata=metadata))
    assert code == "PERMISSION_DENIED"


async def test_the_two_tokens_of_the_installation_stand_for_service_and_operator(stub) -> None:
    for token, subject in ((INTERNAL, "internal"), (OPERATOR, "operator")):
        assert (await stub.GetScorer(pb.GetScorerRequest(), metadata=bearer(token))).version == subject


async def test_the_tenant_of_a_key_is_filled_in(stub) -> None:
    answer = await stub.Score(score_request(), metadata=bearer("chat-of-metrica"))
    assert answer.scorer_version == "key-1||metrica"


async def test_a_key_may_name_its_own_tenant_and_no_other(stub, toy) -> None:
    metadata = bearer("chat-of-metrica")
    answer = await stub.Score(score_request(tenant_id="metrica"), metadata=metadata)
    assert answer.scorer_version == "key-1||metrica"
    refused = {await refusal(stub.Score(score_request(tenant_id=t), metadata=metadata)) for t in ("a", "b")}
    assert refused == {
        ("PERMISSION_DENIED", "OTHER_TENANT", "the token does not give access to this tenant"),
    }
    assert toy.scored == 1


async def test_services_act_for_any_tenant_and_for_a_person(stub) -> None:
    metadata = bearer(INTERNAL, ("x-metachat-acting-user", "ana"))
    answer = await stub.Score(score_request(tenant_id="other"), metadata=metadata)
    assert answer.scorer_version == "internal|ana|other"


@pytest.mark.parametrize("token", ["chat-of-metrica", OPERATOR])
async def test_only_services_may_act_for_a_person(stub, token) -> None:
    metadata = bearer(token, ("x-metachat-acting-user", "ana"))
    answer = await stub.Score(score_request(), metadata=metadata)
    assert "ana" not in answer.scorer_version


async def test_each_message_of_a_stream_is_checked(stub, toy) -> None:
    call = stub.StreamScores(
        iter([score_request(request_id="1"), score_request(reply="")]), metadata=bearer(INTERNAL)
    )
    assert (await call.read()).request_id == "1"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [fault.field for fault in from_rpc_error(raised.value).fields] == ["reply"]
    assert toy.stream_closed.is_set()


async def test_health_and_reflection_need_no_bearer(stub, toy) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async with served(toy) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", *server.services):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await health.Check(health_pb2.HealthCheckRequest(service="unknown"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
