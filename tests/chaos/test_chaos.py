"""Short chaos runs on each kind of installation; `make chaos` is the long one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.ground import Shape
from tests.chaos.run import Plan, run

SEED = int(os.environ.get("CHAOS_SEED", "7"))
SERVERS = pytest.param(
    False, id="servers", marks=[pytest.mark.long, pytest.mark.rabbitmq, pytest.mark.postgresql]
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("embedded", [pytest.param(True, id="embedded"), SERVERS])
def test_every_message_is_accounted_for_and_none_goes_out_twice(embedded: bool, tmp_path: Path) -> None:
    said: list[str] = []
    plan = Plan(
        seed=SEED,
        shape=Shape(embedded=embedded, workers=2, tenants=4, visibility=4.0),
        messages=90,
        faults=6,
        shorter=0.3,
        side_by_side=24,
        window=30,
        drain=240.0,
        keep=tmp_path / "logs",
    )
    result = run(plan, said.append)
    assert result.account.good and not result.problems, "\n".join([*said, f"CHAOS_SEED={SEED}"])


@pytest.mark.long
@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(600)
def test_order_holds_while_four_workers_take_over_from_each_other(tmp_path: Path) -> None:
    said: list[str] = []
    plan = Plan(
        seed=SEED,
        shape=Shape(embedded=False, workers=4, tenants=2, visibility=8.0, partitions=4),
        messages=150,
        faults=6,
        shorter=0.5,
        side_by_side=24,
        window=30,
        drain=240.0,
        keep=tmp_path / "logs",
        only="(kill|cut) worker",
    )
    result = run(plan, said.append)
    told = "\n".join([*said, f"CHAOS_SEED={SEED}"])
    assert len(result.faults) == 6, told
    assert not result.account.out_of_order and result.account.good and not result.problems, told
