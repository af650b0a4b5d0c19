"""Another policy on the command line: the tenant's own, changed where an option says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from metachat.escalation.v1 import policy_pb2, tenant_pb2, tenant_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.tenant_settings import MODES, SWITCH

NAMES = ("mode", "immediate", "review", "escalation", "disclaimers")


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that change a policy; what is not named stays as the tenant has it."""
    for option in reversed(
        (
            click.option("--mode", type=click.Choice(MODES, case_sensitive=False), help="how strict it is"),
            click.option("--immediate", type=click.FloatRange(0, 1), help="below it a person takes over"),
            click.option("--review", type=click.FloatRange(0, 1), help="below it a person has a look"),
            click.option("--escalation", type=SWITCH, help="score and judge replies at all"),
            click.option("--disclaimers", type=SWITCH, help="add a disclaimer at medium confidence"),
        )
    ):
        command = option(command)
    return command


def tenant_policy(tenant: str) -> policy_pb2.Policy:
    """The tenant's policy of today, complete."""
    with plain_errors(escalation_address()):
        stub = open_stub(tenant_pb2_grpc.TenantServiceStub, escalation_address())
        found = stub.GetTenant(tenant_pb2.GetTenantRequest(tenant_id=tenant))
    given = found.settings.confidence_escalation
    policy = policy_pb2.Policy(
        mode=given.mode or policy_pb2.Policy.STANDARD,
        enabled=given.enabled if given.HasField("enabled") else True,
        add_disclaimers=given.add_disclaimers if given.HasField("add_disclaimers") else True,
        without_score=given.without_score,
        version=found.policy_version,
    )
    if given.HasField("immediate_escalation_threshold"):
        policy.immediate_threshold = given.immediate_escalation_threshold
    if given.HasField("suggest_review_threshold"):
        policy.review_threshold = given.suggest_review_threshold
    return policy


def changed(policy: policy_pb2.Policy, changes: dict[str, Any]) -> policy_pb2.Policy:
    """The policy with the options of `policy_options` that were given; raises ValueError for another mode."""
    result = policy_pb2.Policy()
    result.CopyFrom(policy)
    if changes.get("mode") is not None:
        result.mode = policy_pb2.Policy.Mode.Value(str(changes["mode"]).upper())
    if changes.get("immediate") is not None:
        result.immediate_threshold = changes["immediate"]
    if changes.get("review") is not None:
        result.review_threshold = changes["review"]
    if changes.get("escalation") is not None:
        result.enabled = changes["escalation"] in ("on", True)
    if changes.get("disclaimers") is not None:
        result.add_disclaimers = changes["disclaimers"] in ("on", True)
    return result
