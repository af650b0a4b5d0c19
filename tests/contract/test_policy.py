"""The golden cases over gRPC: through grpcio-testing and through a real server, so that neither hides a
fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc_testing
import pytest
from metachat.escalation.v1 import escalation_pb2, escalation_pb2_grpc, policy_pb2

from services.common.access import AccessPolicy, StaticTokens
from services.common.errors import Kind
from services.common.grpc_channel import open_channel
from services.common.grpc_server import Registration, build_server
from services.escalation.servicers.escalation import EscalationServicer
from tests.contract.escalation_server import INTERNAL, refused
from tests.contract.policy_cases import Case, cases

CASES = cases()
DECIDE = escalation_pb2.DESCRIPTOR.services_by_name["EscalationService"].methods_by_name["Decide"]


class Synchronous:
    """A servicer as grpcio-testing can call it: its coroutines run to their end."""

    def __init__(self, servicer: Any) -> None:
        self._servicer = servicer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        behavior = getattr(self._servicer, name)

        def call(request: Any, context: Any) -> Any:
            return asyncio.run(behavior(request, context))

        return call


@pytest.fixture
async def stub() -> AsyncIterator[Any]:
    server = build_server(
        port=0,
        host="127.0.0.1",
        notice_seconds=0,
        drain_seconds=0,
        access=AccessPolicy((StaticTokens(internal=INTERNAL),)),
        servicers=(
            # Decide needs nothing of what stands behind the other RPC.
            Registration(
                EscalationServicer(desk=None, previews=None),  # type: ignore[arg-type]
                escalation_pb2_grpc.add_EscalationServiceServicer_to_server,
            ),
        ),
    )
    port = await server.start()
    async with open_channel(f"127.0.0.1:{port}", token=INTERNAL) as channel:
        yield escalation_pb2_grpc.EscalationServiceStub(channel)
    await server.stop()


def request_of(case: Case) -> escalation_pb2.DecideRequest:
    policy = {"enabled": True, "add_disclaimers": True, **case.policy, "version": 7}
    return escalation_pb2.DecideRequest(policy=policy_pb2.Policy(**policy), **case.facts)


def check(case: Case, decision: policy_pb2.Decision) -> None:
    action = policy_pb2.Decision.Action.Name(decision.action)
    found = {
        "action": "" if action == "ACTION_UNSPECIFIED" else action,
        "reason": decision.reason,
        "escalated": decision.escalated,
        "enabled": decision.enabled,
        "score": decision.HasField("score") and decision.score,
        "level": decision.level if decision.HasField("level") else "",
        "immediate": decision.thresholds.immediate,
        "review": decision.thresholds.review,
        "high_stakes": decision.high_stakes,
    }
    assert {name: found[name] for name in case.expect} == case.expect, case.title
    assert decision.policy_version == 7


async def test_golden_cases_through_a_real_server(stub: Any) -> None:
    for case in CASES:
        check(case, await stub.Decide(request_of(case)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_case_through_grpcio_testing(case: Case) -> None:
    service = escalation_pb2.DESCRIPTOR.services_by_name["EscalationService"]
    servicer = Synchronous(EscalationServicer(desk=None, previews=None))  # type: ignore[arg-type]
    server = grpc_testing.server_from_dictionary({service: servicer}, grpc_testing.strict_real_time())
    call = server.invoke_unary_unary(DECIDE, (), request_of(case), None)
    decision, _, code, _ = call.termination()
    assert code is grpc.StatusCode.OK
    check(case, decision)


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ({"immediate_threshold": 0.7, "review_threshold": 0.4}, {"policy.immediate_threshold"}),
        ({"immediate_threshold": 0.7}, {"policy.review_threshold"}),
        ({"immediate_threshold": 1.1}, {"policy.immediate_threshold"}),
        ({"review_threshold": -0.1}, {"policy.review_threshold"}),
        ({"mode": 9}, {"policy.mode"}),
        ({"without_score": 9}, {"policy.without_score"}),
    ],
)
async def test_a_policy_that_makes_no_sense(stub: Any, policy: dict[str, Any], fields: set[str]) -> None:
    async with refused() as errors:
        await stub.Decide(escalation_pb2.DecideRequest(policy=policy_pb2.Policy(**policy)))
    assert errors[0].kind is Kind.INVALID
    assert fields <= {fault.field for fault in errors[0].fields}


async def test_thresholds_out_of_order_are_both_named(stub: Any) -> None:
    policy = policy_pb2.Policy(immediate_threshold=0.7, review_threshold=0.4)
    async with refused() as errors:
        await stub.Decide(escalation_pb2.DecideRequest(policy=policy))
    assert "0.7" in errors[0].message and "0.4" in errors[0].message


async def test_a_request_without_a_policy_or_with_an_impossible_score(stub: Any) -> None:
    async with refused() as errors:
        await stub.Decide(escalation_pb2.DecideRequest(score=0.5))
    assert errors[0].fields[0].field == "policy"
    async with refused() as errors:
        await stub.Decide(escalation_pb2.DecideRequest(policy=policy_pb2.Policy(), score=1.5))
    assert errors[0].fields[0].field == "score"
