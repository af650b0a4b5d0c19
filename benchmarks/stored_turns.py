"""A tenant with a history that is known: labelled replies as stored turns, their labels as verdicts.

Run from the repository's root beside an installation: `python -m benchmarks.stored_turns FOLDER [--turns N]`,
the folder as in docs/scoring-report.md. Each reply goes through EscalationService.Evaluate: it is scored,
decided and recorded like any other, with all that the data set has of it. All of what was sent is drawn for
the audit, and each label becomes a verdict. Ask the tenant then: `metachat simulate`, `metachat recommend`.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from metachat.escalation.v1 import (
    escalation_pb2,
    escalation_pb2_grpc,
    handoff_pb2,
    handoff_pb2_grpc,
    policy_pb2,
    tenant_pb2,
    tenant_pb2_grpc,
)
from metachat.escalation.v1.settings_pb2 import ConfidenceEscalationSettings, TenantSettings

from services.cli.connection import escalation_address, open_stub
from services.confidence.fitting.rows import SAMPLES_USED, load

IN_FLIGHT = 16
SEED = 7
T = TypeVar("T")
U = TypeVar("U")
Verdict = handoff_pb2.RecordVerdictRequest


def histories(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(data set, labelled reply), those with a text before those of which only signals are kept."""
    data = load(folder)
    for with_text in (True, False):
        for name, rows in data.items():
            yield from ((name, row) for row in rows if bool(row.get("response")) == with_text)


def request(tenant: str, name: str, row: dict[str, Any]) -> escalation_pb2.EvaluateRequest:
    """The reply with everything that the data set has of it."""
    draft: dict[str, Any] = {
        # Where only signals are kept they judge it: the same words for all of them tell nothing.
        "reply": row.get("response") or "As answered.",
        "passages": [{"text": text} for text in row.get("context") or ()],
        "samples": (row.get("samples") or [])[:SAMPLES_USED],
    }
    if row.get("verbalized_confidence") is not None:
        draft["selfAssessment"] = row["verbalized_confidence"]
    probability = row.get("mean_token_prob") or row.get("answer_token_prob")
    if probability and "response" not in row:
        draft["tokenLogprobs"] = [{"token": "answer", "logprob": math.log(probability)}]
    fields = {
        "tenantId": tenant,
        "requestId": f"{name}/{row['id']}"[:128],
        "userMessage": row.get("question") or row["group"],
        "draft": draft,
    }
    made: escalation_pb2.EvaluateRequest = ParseDict(fields, escalation_pb2.EvaluateRequest())
    return made


def each(pool: ThreadPoolExecutor, what: str, ask: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Ask for each, so many at a time, and say how long it took."""
    began = time.perf_counter()
    answers = list(pool.map(ask, items))
    seconds = time.perf_counter() - began
    print(f"{what}: {len(answers):,} in {seconds:.0f} s ({len(answers) / seconds:,.0f}/s)")
    return answers


def fill(tenant: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Make the tenant, its turns and its verdicts, and print what became of them."""
    address = escalation_address()
    tenants = open_stub(tenant_pb2_grpc.TenantServiceStub, address)
    escalation = open_stub(escalation_pb2_grpc.EscalationServiceStub, address)
    handoffs = open_stub(handoff_pb2_grpc.HandoffServiceStub, address)
    settings = TenantSettings(confidence_escalation=ConfidenceEscalationSettings(audit_rate=1.0))
    tenants.CreateTenant(tenant_pb2.CreateTenantRequest(id=tenant, name="Labelled", settings=settings))
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        outcomes = each(
            pool,
            "turns",
            lambda item: escalation.Evaluate(request(tenant, *item)).outcome,
            rows,
        )
        judged = [(found, row) for found, (_, row) in zip(outcomes, rows, strict=True)]
        each(
            pool,
            "verdicts",
            lambda item: handoffs.RecordVerdict(
                Verdict(
                    tenant_id=tenant,
                    turn_id=item[0].turn_id,
                    verdict=Verdict.CORRECT if item[1]["label_correct"] else Verdict.WRONG,
                    agent="labels",
                )
            ),
            judged,
        )
    name = policy_pb2.Decision.Action.Name
    actions = Counter(name(found.decision.action) for found in outcomes)
    wrong = Counter(name(found.decision.action) for found, row in judged if not row["label_correct"])
    print(f"{'action':<24}{'turns':>8}{'wrong':>8}")
    for action, count in actions.most_common():
        print(f"{action:<24}{count:>8,}{wrong[action] / count:>8.1%}")


def main() -> None:
    """Fill the tenant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--turns", type=int, default=10_000)
    parser.add_argument("--tenant", default="labelled")
    arguments = parser.parse_args()
    rows = list(histories(arguments.folder))[: arguments.turns]
    random.Random(SEED).shuffle(rows)
    kept = sum(1 for _, row in rows if row.get("response"))
    print(f"{len(rows):,} replies, {kept:,} of them with their text")
    fill(arguments.tenant, rows)


if __name__ == "__main__":
    main()
