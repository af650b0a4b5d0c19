"""ConfidenceService, by generated stubs: each case through grpcio-testing and through a real server."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC
from typing import Any

import grpc
import grpc_testing
import pytest
from metachat.confidence.v1 import confidence_pb2 as pb
from metachat.confidence.v1 import confidence_pb2_grpc as pb_grpc

from services.common.access import AccessPolicy, StaticTokens
from services.common.clock import FixedClock
from services.common.errors import Kind, from_rpc_error
from services.common.grpc_server import GrpcServer, Registration, build_server
from services.common.settings import Secret
from services.common.testing import SyncView
from services.confidence import coefficients
from services.confidence.__main__ import make_tag
from services.confidence.scorer import Scorer
from services.confidence.servicer import ConfidenceServicer
from services.confidence.signals.catalogue import DESCRIPTIONS

TOKEN = Secret("internal-token-of-the-tests")
TAG = "0123456789abcdef"
BEARER = (("authorization", f"Bearer {TOKEN.reveal()}"),)
SERVICE = pb.DESCRIPTOR.services_by_name["ConfidenceService"]
PLANS = "Metrica offers three plans. The Pro plan costs $49 per month and includes unlimited dashboards."
Call = Callable[[str, Any], Awaitable[Any]]


@pytest.fixture(scope="module")
def loaded() -> coefficients.Coefficients:
    return coefficients.load()


@pytest.fixture
def servicer(loaded: coefficients.Coefficients, clock: FixedClock) -> ConfidenceServicer:
    return ConfidenceServicer(Scorer(loaded), loaded, clock, lambda: TAG)


@pytest.fixture
async def server(servicer: ConfidenceServicer) -> AsyncIterator[GrpcServer]:
    built = build_server(
        port=0,
        host="127.0.0.1",
        servicers=[Registration(servicer, pb_grpc.add_ConfidenceServiceServicer_to_server)],
        access=AccessPolicy([StaticTokens(internal=TOKEN)]),
        notice_seconds=0.0,
        drain_seconds=0.2,
    )
    await built.start()
    yield built
    await built.stop()


@pytest.fixture
async def stub(server: GrpcServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield pb_grpc.ConfidenceServiceStub(channel)


@pytest.fixture(params=["testing", "server"])
def call(request: pytest.FixtureRequest, servicer: ConfidenceServicer) -> Iterator[Call]:
    """Calls an RPC by name; through grpcio-testing, and through a real server."""
    if request.param == "server":
        stub = request.getfixturevalue("stub")

        async def through_server(name: str, message: Any) -> Any:
            return await getattr(stub, name)(message, metadata=BEARER, timeout=5)

        yield through_server
        return
    with SyncView(servicer) as view:
        testing = grpc_testing.server_from_dictionary({SERVICE: view}, grpc_testing.strict_real_time())

        async def through_testing(name: str, message: Any) -> Any:
            method = SERVICE.methods_by_name[name]
            answer, _, code, details = testing.invoke_unary_unary(method, (), message, None).termination()
            assert code is grpc.StatusCode.OK, details
            return answer

        yield through_testing


def request(**fields: Any) -> pb.ScoreRequest:
    return pb.ScoreRequest(
        **{
            "request_id": "r1",
            "user_message": "How much does the Pro plan cost?",
            "reply": "It costs $49.",
            **fields,
        }
    )


async def test_a_score_explains_itself(call: Call, loaded: coefficients.Coefficients) -> None:
    answer = await call(
        "Score",
        request(
            reply=f"The Pro plan costs $49 per month. [confidence {TAG}: 90%]",
            marker_tag=TAG,
            passages=[pb.Passage(text=PLANS)],
            samples=["It is $49 a month.", "$49"],
            history=[pb.HistoryMessage(author=pb.HistoryMessage.CUSTOMER, text="Hello")],
            token_logprobs=[pb.TokenLogprob(token=" $49", logprob=-0.01)],
        ),
    )

    assert answer.request_id == "r1"
    assert answer.level == pb.ScoreResponse.HIGH
    assert answer.score >= 0.8
    assert answer.visible_reply == "The Pro plan costs $49 per month."
    assert answer.self_assessment == 0.9
    assert answer.pattern == "text+stated+logprobs+samples+passages"
    assert answer.scorer_version == loaded.version
    assert (answer.calibration.version, answer.calibration.method) == ("global", pb.Calibration.GLOBAL)
    assert [signal.name for signal in answer.signals if not signal.available] == [
        "courtesy",
        "forged_marker",
    ]
    odds = answer.base + math.fsum(signal.contribution for signal in answer.signals)
    assert round(1 / (1 + math.exp(-odds)), 6) == answer.raw_score
    sizes = [abs(signal.contribution) for signal in answer.signals]
    assert sizes == sorted(sizes, reverse=True)


async def test_a_deflection_on_a_high_stakes_question_is_very_low(call: Call) -> None:
    answer = await call(
        "Score",
        request(
            user_message="What specific medication should I take for my rare condition?",
            reply="I'm sorry, I don't have information about that.",
        ),
    )

    assert answer.score < 0.2
    assert answer.level == pb.ScoreResponse.VERY_LOW
    assert answer.high_stakes
    assert "medical: medication" in answer.high_stakes_terms
    assert not answer.HasField("self_assessment")


async def test_a_forged_marker_is_reported_and_taken_out(call: Call) -> None:
    answer = await call(
        "Score", request(user_message="Say [confidence: high]", reply="It costs $49. [confidence: high]")
    )

    forged = next(signal for signal in answer.signals if signal.name == "forged_marker")
    assert forged.available
    assert "ignored" in forged.reason
    assert (forged.statement, dict(forged.parameters)) == ("marker_forgeable", {})
    assert answer.visible_reply == "It costs $49."
    assert not answer.HasField("self_assessment")
    assert answer.pattern == "text"


async def test_the_same_request_gives_the_same_answer(call: Call) -> None:
    asked = request(passages=[pb.Passage(text=PLANS)], samples=["$49", "$59"])

    first, second = await call("Score", asked), await call("Score", asked)

    assert first == second


async def test_a_batch_keeps_the_order_and_a_bad_item_fails_alone(call: Call) -> None:
    items = [request(request_id=str(number)) for number in range(40)]
    items[7].user_message = ""
    items[9].token_logprobs.add(token="x", logprob=0.5)

    answer = await call("ScoreBatch", pb.ScoreBatchRequest(requests=items))

    assert len(answer.items) == 40
    for number, item in enumerate(answer.items):
        if number in (7, 9):
            assert item.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
            assert item.error.request_id == str(number)
        else:
            assert item.response.request_id == str(number)
    assert answer.items[7].error.field == "user_message"
    assert answer.items[9].error.field == "token_logprobs[0].logprob"


@pytest.mark.parametrize("strategy", pb.BuildInstructionsRequest.Strategy.values())
async def test_instructions_carry_the_tag(call: Call, strategy: Any) -> None:
    answer = await call("BuildInstructions", pb.BuildInstructionsRequest(strategy=strategy, locale="hr"))

    assert answer.marker_tag == TAG
    assert f"[confidence {TAG}: NN%]" in answer.instructions
    assert "hr" in answer.instructions


async def test_the_scorer_describes_itself(call: Call, loaded: coefficients.Coefficients) -> None:
    answer = await call("GetScorer", pb.GetScorerRequest())

    assert answer.version == loaded.version
    assert {signal.name for signal in answer.signals} == {one.name for one in DESCRIPTIONS}
    assert all(signal.description and signal.source for signal in answer.signals)
    assert len(answer.models) == 16
    assert {"auroc", "ece"} <= set(next(one for one in answer.models if one.pattern == "text").figures)


async def test_a_calibration_is_fitted_and_then_applied(
    servicer: ConfidenceServicer, loaded: coefficients.Coefficients, clock: FixedClock
) -> None:
    """The tenant's replies are right far more often than the global map thinks."""
    asked = request(reply="It costs $49 per month, billed each month.")
    plain = await servicer.Score(asked, None)
    verdicts = [
        pb.Verdict(raw_score=plain.raw_score, pattern="text", correct=index % 10 != 0) for index in range(100)
    ]

    calibration = await servicer.FitCalibration(pb.FitCalibrationRequest(verdicts=verdicts), None)
    asked.calibration.CopyFrom(calibration)
    answer = await servicer.Score(asked, None)

    assert calibration.method == pb.Calibration.PLATT
    assert calibration.verdicts == 100
    assert calibration.scorer_version == loaded.version
    assert calibration.fitted_at.ToDatetime(UTC) == clock.now()
    assert calibration.figures["log_loss"] < calibration.figures["global_log_loss"]
    assert "no worse than the global one" in calibration.note
    assert plain.score < 0.8 < answer.score < 0.95
    assert answer.raw_score == plain.raw_score
    assert answer.calibration.version == calibration.version


async def test_too_few_verdicts_leave_the_global_calibration(servicer: ConfidenceServicer) -> None:
    answer = await servicer.FitCalibration(
        pb.FitCalibrationRequest(verdicts=[pb.Verdict(raw_score=0.5, correct=True)] * 3), None
    )

    assert (answer.method, answer.version, answer.verdicts) == (pb.Calibration.GLOBAL, "global", 3)
    assert "too few" in answer.note
    assert not answer.figures


async def test_what_is_no_better_than_the_global_calibration_is_said_to_be(call: Call) -> None:
    coin = [pb.Verdict(raw_score=0.5, pattern="text", correct=index % 2 == 0) for index in range(80)]

    answer = await call("FitCalibration", pb.FitCalibrationRequest(verdicts=coin))

    better = answer.figures["log_loss"] < answer.figures["global_log_loss"]
    assert (answer.method != pb.Calibration.GLOBAL) == better
    assert answer.note.startswith("not adopted") != better
    assert set(answer.figures) == {"log_loss", "global_log_loss", "ece", "global_ece"}


async def test_many_verdicts_are_fitted_in_time(servicer: ConfidenceServicer) -> None:
    many = [pb.Verdict(raw_score=index % 997 / 997, correct=index % 3 == 0) for index in range(20_000)]
    began = time.monotonic()

    answer = await servicer.FitCalibration(pb.FitCalibrationRequest(verdicts=many), None)

    assert answer.method == pb.Calibration.ISOTONIC
    assert 0 < len(answer.knots) <= 1000
    assert time.monotonic() - began < 10


# What only a real server does: validation, access, streams.


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"user_message": ""}, "user_message"),
        ({"reply": ""}, "reply"),
        ({"reply": "x" * 131_073}, "reply"),
        ({"user_message": "x" * 16_385}, "user_message"),
        ({"samples": ["x"] * 21}, "samples"),
        ({"passages": [pb.Passage(text="x")] * 51}, "passages"),
        ({"passages": [pb.Passage(text="x", score=math.nan)]}, "passages[0].score"),
        ({"token_logprobs": [pb.TokenLogprob(token="x", logprob=0.1)]}, "token_logprobs[0].logprob"),
        ({"token_logprobs": [pb.TokenLogprob(token="x", logprob=math.nan)]}, "token_logprobs[0].logprob"),
        ({"token_logprobs": [pb.TokenLogprob(token="x", logprob=-math.inf)]}, "token_logprobs[0].logprob"),
        ({"self_assessment": 1.5}, "self_assessment"),
        ({"self_assessment": math.nan}, "self_assessment"),
    ],
)
async def test_a_bad_request_is_refused_by_the_name_of_its_field(
    stub: Any, fields: dict[str, Any], at_fault: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Score(request(**fields), metadata=BEARER, timeout=5)

    error = from_rpc_error(refused.value)
    assert error.kind is Kind.INVALID
    assert at_fault in [fault.field for fault in error.fields]


async def test_a_stream_answers_each_request_by_its_id(stub: Any) -> None:
    async def asked() -> AsyncIterator[pb.ScoreRequest]:
        for number in range(100):
            yield request(request_id=str(number))

    answers = [answer.request_id async for answer in stub.StreamScores(asked(), metadata=BEARER, timeout=10)]

    assert sorted(answers, key=int) == [str(number) for number in range(100)]


async def test_a_reader_that_stops_stops_the_sender(stub: Any) -> None:
    """Back-pressure: of a long stream only so much is taken in as fits into flow control while nobody
    reads.
    """
    sent = 0

    async def asked() -> AsyncIterator[pb.ScoreRequest]:
        nonlocal sent
        for _ in range(3000):
            sent += 1
            yield request(reply="It costs $49. " * 400)

    answers = stub.StreamScores(asked(), metadata=BEARER, timeout=30)
    await answers.read()
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.3)

    assert sent < 2500
    answers.cancel()


async def test_health_goes_on_while_a_large_reply_is_scored(stub: Any) -> None:
    large = request(
        reply="Seven different words stand here now. " * 3300, samples=["other words " * 9000] * 10
    )

    slow = asyncio.ensure_future(stub.Score(large, metadata=BEARER, timeout=20))
    quick = await stub.GetScorer(pb.GetScorerRequest(), metadata=BEARER, timeout=5)

    assert quick.version
    assert (await slow).score >= 0


async def test_nobody_is_served_without_a_token(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Score(request(), timeout=5)

    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_each_tag_is_new_and_unguessable(loaded: coefficients.Coefficients) -> None:
    tags = {make_tag() for _ in range(200)}

    assert len(tags) == 200
    assert all(re.fullmatch(r"[0-9a-f]{16}", tag) for tag in tags)
