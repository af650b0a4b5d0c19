"""`make chaos`: the long run, printed."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from tests.chaos.ground import Shape
from tests.chaos.run import Plan, run


def main() -> int:
    """0 where every message is accounted for, nothing went out twice and order was kept; else 1."""
    parser = argparse.ArgumentParser(description="Faults, for real, and a count of every message.")
    parser.add_argument("--seed", type=int, default=None, help="of traffic and faults (default: a new one)")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--tenants", type=int, default=8)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--embedded", action="store_true", help="embedded queue and SQLite, no servers")
    parser.add_argument(
        "--last-page",
        action="store_true",
        help="fill the broker's disk to the last page, not to its alarm (RabbitMQ 3.10 may lose queues)",
    )
    parser.add_argument("--shorter", type=float, default=1.0, help="factor on the length of each fault")
    parser.add_argument("--drain", type=float, default=600.0, help="seconds to wait for what is left")
    parser.add_argument("--minutes", type=float, default=None, help="write nothing new after so long")
    parser.add_argument("--only", default="", help='faults that fit, such as "kill worker" or "disk|freeze"')
    parser.add_argument("--keep", type=Path, default=None, help="a folder that the logs are kept in")
    chosen = parser.parse_args()
    seed = random.randrange(1_000_000) if chosen.seed is None else chosen.seed
    shape = Shape(
        embedded=chosen.embedded,
        workers=chosen.workers,
        tenants=chosen.tenants,
        partitions=chosen.partitions,
        last_page=chosen.last_page,
    )
    plan = Plan(
        seed,
        shape,
        chosen.messages,
        chosen.faults,
        shorter=chosen.shorter,
        drain=chosen.drain,
        keep=chosen.keep,
        only=chosen.only,
        longest=60 * chosen.minutes if chosen.minutes else float("inf"),
    )
    result = run(plan, lambda line: print(line, flush=True))
    if result.account.good and not result.problems:
        return 0
    print(
        f"to see it again: make chaos SEED={seed} MESSAGES={plan.messages} FAULTS={plan.faults}", flush=True
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
