"""How long figures take over a million turns, on SQLite and on PostgreSQL.

Run from the repository's root: `python -m tests.servers python -m benchmarks.insight [--turns N]`; without
TEST_DATABASE_URL PostgreSQL is left out, and said so. The turns are made in SQL, 90 days of one tenant, then
counted by the service's own code; each line is the whole RPC method, without the network.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from metachat.escalation.v1 import insight_pb2, policy_pb2
from metachat.escalation.v1.settings_pb2 import TenantSettings
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.common.clock import FixedClock
from services.common.settings import Secret
from services.escalation.insights.counting import Counting
from services.escalation.insights.figures import Figures
from services.escalation.insights.stored_decisions import Replays
from services.escalation.insights.what_if import WhatIf
from services.escalation.migrations.upgrade import upgrade
from services.escalation.servicers.insights import Insights, InsightServicer
from services.escalation.servicers.reliability import Reliability
from services.escalation.store.database import Database
from services.escalation.store.opening import database_for, parse_url
from services.escalation.tenants.directory import TenantRecord
from services.escalation.tenants.tenant_settings import with_defaults
from tests.servers.fixtures import PostgresServer

TENANT = "metrica"
DAYS = 90
BOUND_MS = 200.0
ROUNDS = 7
NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
# The same arithmetic on both: a third as many conversations as turns, scores spread like chance.
SCORE = "(i % 10007 * 7919 % 10007) / 10007.0"
ACTION = (
    "CASE WHEN s < 0.08 THEN 'IMMEDIATE_ESCALATION' WHEN s < 0.2 THEN 'SUGGEST_REVIEW'"
    " WHEN s < 0.6 THEN 'SEND_WITH_DISCLAIMER' ELSE 'CONTINUE' END"
)
REASON = (
    "CASE WHEN s < 0.02 THEN 'customer_request' WHEN s < 0.2 THEN 'low_confidence'"
    " WHEN s < 0.6 THEN 'medium_confidence' ELSE '' END"
)
CHANNEL = "CASE i % 3 WHEN 0 THEN 'webchat' WHEN 1 THEN 'whatsapp' ELSE 'messenger' END"
LOUDEST = (
    "CASE i % 7 WHEN 0 THEN 'grounding' WHEN 1 THEN 'relevance' WHEN 2 THEN 'samples' WHEN 3 THEN 'wording'"
    " WHEN 4 THEN 'substance' ELSE '' END"
)
SIGNALS = '[{"name": "grounding", "value": 0.5, "contribution": -0.5, "reason": "some of it is found"}]'

EVENT = '{"reason": "low_confidence", "action": "IMMEDIATE_ESCALATION", "confidenceScore": 0.1}'


@dataclass(frozen=True)
class Dialect:
    """What the two databases write differently."""

    numbers: str
    moment: Callable[[str], str]
    json: str
    settle: str


SQLITE = Dialect(
    "WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {count}) ",
    lambda seconds: f"strftime('%Y-%m-%d %H:%M:%f', {seconds}, 'unixepoch') || '000'",
    "",
    "ANALYZE",
)
POSTGRES = Dialect(
    "WITH numbers AS (SELECT i FROM generate_series(0, {count} - 1) AS i) ",
    lambda seconds: f"to_timestamp({seconds})",
    "::jsonb",
    "VACUUM ANALYZE",
)


class Directory:
    """One tenant with nothing set."""

    def __init__(self) -> None:
        """Fills in the defaults once."""
        settings = TenantSettings()
        self._record = TenantRecord(
            id=TENANT,
            name="Metrica",
            settings=settings,
            effective=with_defaults(settings),
            llm_api_key=Secret(""),
            policy_version=1,
            etag="",
            created_at=NOW,
            updated_at=NOW,
        )

    async def get(self, tenant_id: str) -> TenantRecord:
        """The tenant, as the servicers need it."""
        return self._record


def fill(connection: Connection, dialect: Dialect, count: int) -> None:
    """Make a tenant with so many turns, a third as many conversations, and a handoff for each escalation."""
    begin = (NOW - timedelta(days=DAYS)).timestamp()
    step = DAYS * 86400 / count
    at = dialect.moment(f"{begin} + i * {step}")
    waited = "30 + (i * 31 % 900)"
    later = dialect.moment(f"{begin} + i * {step} + {waited}")
    now = dialect.moment(f"{begin}")
    run = connection.exec_driver_sql
    run(
        "INSERT INTO tenants (id, name, settings, policy_version, etag, created_at, updated_at)"
        f" VALUES ('{TENANT}', 'Metrica', '{{}}', 1, '', {now}, {now})"
    )
    numbers = dialect.numbers.format(count=count)
    conversation = f"'c' || (i / 3 % {max(1, count // 3)})"
    conversations = dialect.numbers.format(count=count // 3)
    begun = dialect.moment(f"{begin} + i * {step * 3}")
    run(
        "INSERT INTO conversations (id, tenant_id, channel, status, context_started_at, created_at,"
        f" updated_at, needed_person, reopened) {conversations}"
        f" SELECT 'c' || i, '{TENANT}', {CHANNEL}, 'active', {begun}, {begun}, {begun}, i % 6 = 0, i % 50 = 0"
        " FROM numbers"
    )
    run(
        "INSERT INTO turns (id, tenant_id, channel, message_id, conversation_id, state, action, reason,"
        " score, level, mode, threshold_immediate, threshold_review, scorer_version, calibration_version,"
        " facts, policy, signals, loudest_signal, reply, created_at, completed_at) "
        + numbers.rstrip()
        + f", scored AS (SELECT i, {SCORE} AS s FROM numbers)"
        f" SELECT 't' || i, '{TENANT}', {CHANNEL}, 'm' || i, {conversation}, 'decided',"
        f" {ACTION}, {REASON}, s, 'HIGH', 'STANDARD', 0.3, 0.6, '1.0', 'global', '{{}}'{dialect.json},"
        f" '{{}}'{dialect.json}, '{SIGNALS}'{dialect.json}, {LOUDEST}, 'It costs 79 euros.', {at}, {at}"
        " FROM scored"
    )
    run(
        "INSERT INTO handoffs (id, tenant_id, conversation_id, turn_id, state, reason, created_at,"
        f" claimed_at, waited_seconds) {numbers.rstrip()}"
        f", scored AS (SELECT i, {SCORE} AS s FROM numbers)"
        f" SELECT 'h' || i, '{TENANT}', {conversation}, 't' || i, 'returned',"
        f" 'low_confidence', {at}, {later}, {waited} FROM scored WHERE s < 0.08"
    )
    run(
        "INSERT INTO events (id, type, tenant_id, conversation_id, turn_id, data, created_at, published_at) "
        + numbers.rstrip()
        + f", scored AS (SELECT i, {SCORE} AS s FROM numbers)"
        f" SELECT 'e' || i, 'human_handoff.requested', '{TENANT}', {conversation}, 't' || i,"
        f" '{EVENT}'{dialect.json}, {at}, {at} FROM scored WHERE s < 0.2"
    )


async def measure(name: str, url: str, dialect: Dialect, count: int) -> float:
    """Fill a database, count it and print how long each question takes; the slowest median in ms."""
    await upgrade(url)
    database = database_for(url)
    await database.open()
    try:
        began = time.perf_counter()
        await _fill(url, dialect, count)
        made = time.perf_counter() - began
        clock = FixedClock(NOW)
        began = time.perf_counter()
        counting = Counting(database=database, clock=clock)
        await counting.count()
        counted = time.perf_counter() - began
        print(f"\n{name}: {count:,} turns made in {made:.0f} s, counted from nothing in {counted:.0f} s")
        worst = 0.0
        for label, ask in _questions(database, clock):
            worst = max(worst, await _median(label, ask))
        began = time.perf_counter()
        await counting.close()
    finally:
        await database.close()
    return worst


async def _fill(url: str, dialect: Dialect, count: int) -> None:
    """In one long transaction on a connection of its own: the service's own gives up after half a minute."""
    if dialect is SQLITE:
        engine = create_engine(url)
        with engine.begin() as connection:
            fill(connection, dialect, count)
        with engine.connect() as connection:
            connection.execute(text(dialect.settle))
        engine.dispose()
        return
    slow = create_async_engine(parse_url(url), isolation_level="AUTOCOMMIT")
    async with slow.connect() as connection:
        await connection.run_sync(fill, dialect, count)
        await connection.execute(text(dialect.settle))
    await slow.dispose()


def _questions(database: Database, clock: FixedClock) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
    directory: Any = Directory()
    servicer = InsightServicer(
        database,
        directory,
        Reliability(database, directory, str),
        Insights(
            Figures(database, clock),
            WhatIf(database, directory, enabled_globally=True),
            Replays(database, None, enabled_globally=True),  # type: ignore[arg-type]  # not called
        ),
    )
    rates = insight_pb2.GetEscalationRatesRequest

    def period(days: int) -> insight_pb2.Period:
        begin = Timestamp()
        begin.FromDatetime(NOW - timedelta(days=days))
        return insight_pb2.Period(**{"from": begin})

    def asked(**fields: Any) -> Callable[[], Awaitable[Any]]:
        request = rates(tenant_id=TENANT, **fields)
        return lambda: servicer.GetEscalationRates(request, None)

    everything = period(DAYS)
    between: dict[str, Any] = {"tenant_id": TENANT, "period": everything}
    turns = insight_pb2.ListTurnsRequest
    listed = insight_pb2.ListOutcomesRequest
    events = insight_pb2.ListEventsRequest

    def behind(**fields: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: servicer.ListTurns(turns(**between, **fields), None)

    histogram = insight_pb2.GetScoreHistogramRequest(tenant_id=TENANT, period=everything)
    outcomes = insight_pb2.GetOutcomesRequest(tenant_id=TENANT, period=everything)
    return [
        ("rates, 90 days by day, Zagreb", asked(period=everything, interval=2, time_zone="Europe/Zagreb")),
        ("rates, 35 days by hour, UTC", asked(period=period(35))),
        ("rates, 30 days by hour, Kathmandu", asked(period=period(30), time_zone="Asia/Kathmandu")),
        ("rates, 7 days by hour, one channel", asked(period=period(7), channel="whatsapp")),
        ("score histogram, 90 days", lambda: servicer.GetScoreHistogram(histogram, None)),
        ("outcomes, 90 days", lambda: servicer.GetOutcomes(outcomes, None)),
        ("stages, 90 days", lambda: servicer.GetStages(insight_pb2.GetStagesRequest(**between), None)),
        (
            "every tenant, 90 days",
            lambda: servicer.ListTenantFigures(insight_pb2.ListTenantFiguresRequest(period=everything), None),
        ),
        ("turns, the newest 50", behind()),
        ("turns of one bar of the histogram", behind(score_from=0.1, score_to=0.12)),
        ("turns with a reason nobody has", behind(reason="nothing_like_it")),
        (
            "turns escalated, by a signal",
            behind(loudest_signal="grounding", actions=[policy_pb2.Decision.IMMEDIATE_ESCALATION]),
        ),
        (
            "handoffs that waited 1-5 minutes",
            lambda: servicer.ListOutcomes(
                listed(**between, kind=listed.CLAIMED, wait_from_seconds=60, wait_to_seconds=300), None
            ),
        ),
        (
            "conversations that came back",
            lambda: servicer.ListOutcomes(listed(**between, kind=listed.REOPENED), None),
        ),
        (
            "events with a text nobody wrote",
            lambda: servicer.ListEvents(events(**between, text="nothing like it"), None),
        ),
    ]


async def _median(label: str, ask: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    answer = await ask()
    first = 1000 * (time.perf_counter() - began)
    taken = []
    busy = time.process_time()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await ask()
        taken.append(1000 * (time.perf_counter() - began))
    busy = 1000 * (time.process_time() - busy) / ROUNDS
    median, best = statistics.median(taken), min(taken)
    size = len(getattr(answer, "cells", ())) or ""
    mark = "" if median <= BOUND_MS else "  OVER"
    times = f"{median:>8.1f} ms  (best {best:.0f}, first {first:.0f}; {busy:.0f} ms of this process's CPU)"
    print(f"  {label:<36}{times}{mark}  {size and f'{size:,} cells'}")
    return median


async def simulate(name: str, url: str) -> None:
    """Print how long a simulation of the newest 100,000 turns takes; nobody waits for it in a page."""
    database = database_for(url)
    await database.open()
    directory: Any = Directory()
    what_if = WhatIf(database, directory, enabled_globally=True)
    servicer = InsightServicer(
        database,
        directory,
        Reliability(database, directory, str),
        Insights(None, what_if, None),  # type: ignore[arg-type]  # not called
    )
    request = insight_pb2.SimulatePolicyRequest(
        tenant_id=TENANT, policy=policy_pb2.Policy(enabled=True, mode=policy_pb2.Policy.STRICT)
    )
    began = time.perf_counter()
    found = await servicer.SimulatePolicy(request, None)
    print(
        f"  {'simulation of ' + format(found.turns, ','):<36}{1000 * (time.perf_counter() - began):>8.0f} ms"
    )
    await database.close()


async def run(count: int) -> None:
    """Both databases, one after the other."""
    with tempfile.TemporaryDirectory(prefix="metachat-insight-") as folder:
        url = f"sqlite:///{Path(folder) / 'metachat.db'}"
        await measure("SQLite", url, SQLITE, count)
        await simulate("SQLite", url)
    server_url = os.environ.get("TEST_DATABASE_URL")
    if not server_url:
        print("\nPostgreSQL: left out, TEST_DATABASE_URL is not set")
        return
    server = PostgresServer(server_url)
    url = server.create()
    try:
        await measure("PostgreSQL", url, POSTGRES, count)
        await simulate("PostgreSQL", url)
    finally:
        server.drop(url)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1_000_000)
    asyncio.run(run(parser.parse_args().turns))


if __name__ == "__main__":
    main()
