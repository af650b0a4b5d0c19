"""`metachat policy test`: a tenant's file of expected decisions, run against a policy before it is saved."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from metachat.escalation.v1 import escalation_pb2, escalation_pb2_grpc, policy_pb2

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import print_table
from services.cli.policy_options import NAMES, changed, policy_options, tenant_policy

FACTS: Final = frozenset(escalation_pb2.DecideRequest.DESCRIPTOR.fields_by_name) - {"policy"}
EXPECTED: Final = frozenset(
    {"action", "reason", "escalated", "level", "immediate", "review", "high_stakes", "enabled"}
)


@dataclass(frozen=True)
class Case:
    """One expectation: `facts` as in Decide, `expect` what of the decision matters."""

    title: str
    facts: Mapping[str, Any]
    expect: Mapping[str, Any]


@click.group(name="policy")
def command() -> None:
    """Test a policy before it is saved."""


@command.command()
@click.argument("tenant")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@policy_options
def test(tenant: str, file: Path, **options: Any) -> None:
    """Run the cases of FILE against TENANT's policy, with the changes of its [policy] and of the options.

    FILE is TOML: [[case]] with title, facts (score, high_stakes, urgent, customer_request …) and expect
    (action, reason, immediate, review …). Exit code 1 where a case does not hold.
    """
    changes, cases = read_cases(file)
    given = {name: value for name, value in options.items() if value is not None}
    try:
        policy = changed(tenant_policy(tenant), {**changes, **given})
    except (ValueError, TypeError) as error:
        raise click.ClickException(f"{file}, [policy]: {error}") from error
    failures = []
    with plain_errors(escalation_address()):
        stub = open_stub(escalation_pb2_grpc.EscalationServiceStub, escalation_address())
        for case in cases:
            decision = stub.Decide(_request(policy, case, file))
            failures += [(case.title, *failure) for failure in unlike(case.expect, decision)]
    failed = len({failure[0] for failure in failures})
    if failures:
        print_table(["CASE", "WHAT", "EXPECTED", "WOULD BE"], failures, empty="")
        click.echo()
    click.echo(f"{len(cases) - failed} of {len(cases)} cases hold under {_named(policy)}.")
    if failures:
        sys.exit(1)


def read_cases(file: Path) -> tuple[Mapping[str, Any], list[Case]]:
    """The changes and cases of a file. Raises ClickException that says what is wrong and where."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file}: {error}") from error
    changes = content.get("policy", {})
    _refuse(file, "[policy]", changes, frozenset(NAMES))
    # A file may also be one case, as the golden cases of the decision table are.
    listed = [content] if "expect" in content else content.get("case", [])
    if not isinstance(listed, list) or not listed:
        raise click.ClickException(f"{file} holds no [[case]]")
    cases = []
    for number, entry in enumerate(listed, start=1):
        where = f"case {number}"
        if not isinstance(entry, dict):
            raise click.ClickException(f"{file}, {where}: write [[case]] with title, facts and expect")
        facts, expect = entry.get("facts", {}), entry.get("expect", {})
        _refuse(file, f"{where}, facts", facts, FACTS)
        _refuse(file, f"{where}, expect", expect, EXPECTED)
        if not expect:
            raise click.ClickException(f"{file}, {where}: expects nothing")
        cases.append(Case(str(entry.get("title") or where), facts, expect))
    return changes, cases


def unlike(expect: Mapping[str, Any], decision: policy_pb2.Decision) -> list[tuple[str, str, str]]:
    """What is not as expected: name, expected, as it is."""
    found: dict[str, Any] = {
        "action": policy_pb2.Decision.Action.Name(decision.action).replace("ACTION_UNSPECIFIED", ""),
        "reason": decision.reason,
        "escalated": decision.escalated,
        "level": decision.level,
        "immediate": decision.thresholds.immediate,
        "review": decision.thresholds.review,
        "high_stakes": decision.high_stakes,
        "enabled": decision.enabled,
    }
    return [
        (name, str(value) or "none", str(found[name]) or "none")
        for name, value in expect.items()
        if found[name] != value
    ]


def _request(policy: policy_pb2.Policy, case: Case, file: Path) -> escalation_pb2.DecideRequest:
    try:
        return escalation_pb2.DecideRequest(policy=policy, **case.facts)
    except (TypeError, ValueError) as error:
        raise click.ClickException(f"{file}, {case.title}: {error}") from error


def _refuse(file: Path, where: str, table: Any, known: frozenset[str]) -> None:
    if not isinstance(table, dict):
        raise click.ClickException(f"{file}, {where}: must be a table")
    if unknown := sorted(set(table) - known):
        raise click.ClickException(
            f"{file}, {where}: {unknown[0]!r} is not known; there are {', '.join(sorted(known))}"
        )


def _named(policy: policy_pb2.Policy) -> str:
    parts: Sequence[str] = [
        f"mode {policy_pb2.Policy.Mode.Name(policy.mode)}",
        *([f"immediate {policy.immediate_threshold:g}"] if policy.HasField("immediate_threshold") else []),
        *([f"review {policy.review_threshold:g}"] if policy.HasField("review_threshold") else []),
        *([] if policy.enabled else ["escalation off"]),
        *([] if policy.add_disclaimers else ["disclaimers off"]),
    ]
    return ", ".join(parts)
