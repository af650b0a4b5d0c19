"""One chaos run: traffic, faults at their moments, healing, draining, the count."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.installation import wait_until
from tests.chaos import ledger, records
from tests.chaos.deliveries import counted
from tests.chaos.faults import blows, strike
from tests.chaos.ground import Ground, Shape, ground
from tests.chaos.ledger import NOWHERE, Account
from tests.chaos.schedule import Fault, schedule
from tests.chaos.traffic import Feeder, conversations
from tests.servers.process import accepts

_BROKEN = "RabbitMQ cannot bring these queues back (docs/chaos.md): {}"
_STANDSTILL_SECONDS = 15.0
_ALLOWANCE = 100
_LOOK_SECONDS = 1.0
_HANDS = 16


@dataclass(frozen=True)
class Plan:
    """What is run. `shorter`: factor on the length of each fault; `window`: messages that may
    be accepted and not done. `drain`: seconds for what is left.
    `keep`: where the logs go. `only`: a pattern that a fault's kind and target must fit ("kill worker").
    `longest`: seconds after which nothing new is written and no further fault strikes."""

    seed: int
    shape: Shape
    messages: int
    faults: int
    shorter: float = 1.0
    side_by_side: int = 64
    window: int = 400
    drain: float = 600.0
    keep: Path | None = None
    only: str = ""
    longest: float = float("inf")


@dataclass(frozen=True)
class Result:
    """What came of it."""

    account: Account
    faults: Sequence[Fault]
    text: str
    problems: Sequence[str]


def run(plan: Plan, say: Callable[[str], None] = print) -> Result:
    """Run it, all of it. Raises what setting up raises."""
    kind = "embedded queue and SQLite" if plan.shape.embedded else "RabbitMQ and PostgreSQL"
    say(f"chaos: seed {plan.seed}, {plan.messages} messages, {plan.faults} faults, {kind}, {plan.shape}")
    # Servers die with the thread that started them (tests/servers): one set of threads from first to last.
    with ThreadPoolExecutor(_HANDS) as hands, ground(plan.shape, plan.keep, seed=plan.seed) as built:
        records.watch_states(built)
        if not all(disk.available for disk in built.disks.values()):
            say("a tmpfs cannot be mounted here: full disks are limits on files, or left out")
        possible = [blow for blow in blows(built) if re.search(plan.only, f"{blow.kind} {blow.target}")]
        faults = schedule(
            plan.seed, possible, messages=plan.messages, faults=plan.faults, shorter=plan.shorter
        )
        for fault in faults:
            say(f"  {fault}")
        began = time.monotonic()
        struck: list[Fault] = []
        feeder = asyncio.run(_flow(built, plan, faults, struck, hands, say, began))
        faults = struck
        say(f"{time.monotonic() - began:6.0f} s  everything delivered and healed: draining")
        account = _drain(built, plan, feeder, say, began)
        took, provider = time.monotonic() - began, built.provider
        text = ledger.table(
            account,
            accepted=feeder.accepted,
            copies=feeder.copies,
            refusals=feeder.refusals,
            over_messenger=sum(
                story.accepted and story.text.channel == "messenger" for story in feeder.stories.values()
            ),
            faults=len(faults),
            ended=len(built.fleet.unasked_ends),
            more=counted(account.deliveries, provider.said, provider.lost, provider.repeats),
        )
        text += f"\n{'seconds':38} {took:8.0f}"
        by_kind = Counter(fault.blow.kind for fault in faults)
        text += "\nfaults: " + ", ".join(f"{kind} {number}" for kind, number in sorted(by_kind.items()))
        said = built.query(_REASONS)
        text += "\nwhy a person: " + ", ".join(f"{reason or 'held'} {number}" for reason, number in said)
        say(text)
        problems = _problems(built, account, feeder)
        for problem in problems:
            say(problem)
        return Result(account, faults, text, problems)


async def _flow(
    built: Ground,
    plan: Plan,
    faults: Sequence[Fault],
    struck: list[Fault],
    hands: ThreadPoolExecutor,
    say: Callable[[str], None],
    began: float,
) -> Feeder:
    loop = asyncio.get_running_loop()
    feeder = Feeder(built.gateway, side_by_side=plan.side_by_side, window=plan.window)
    reached = asyncio.Event()
    tenants = [(tenant, built.account(tenant), built.page(tenant)) for tenant in built.tenants]
    planned = conversations(plan.seed, tenants, plan.messages)
    ended: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def suffer(fault: Fault) -> None:
        say(f"{time.monotonic() - began:6.0f} s  {fault}")
        heal = await loop.run_in_executor(hands, strike, built, fault)
        await asyncio.sleep(fault.seconds)
        await loop.run_in_executor(hands, heal)

    async def troubles() -> None:
        busy: dict[str, asyncio.Task[None]] = {}
        for fault in faults:
            while feeder.accepted < fault.accepted and not over.is_set():
                reached.clear()
                await reached.wait()
            if over.is_set():
                return
            # Two faults of one target, one after the other.
            if (before := busy.get(fault.blow.target)) is not None:
                await before
            struck.append(fault)
            busy[fault.blow.target] = task = asyncio.create_task(suffer(fault))
            ended.append(task)

    def end(why: str) -> None:
        say(f"{time.monotonic() - began:6.0f} s  {why}")
        over.set()
        reached.set()
        feeder.end()

    async def look() -> None:
        moved = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if time.monotonic() - began > plan.longest and not over.is_set():
                end(f"time is up after {feeder.accepted} messages")
            broken = await asyncio.to_thread(built.broken_queues)
            if broken and not over.is_set():
                end(_BROKEN.format(", ".join(broken)))
            try:
                now = await asyncio.to_thread(_done, built)
            except Exception:
                continue
            if now > feeder.done:
                feeder.done, moved = now, time.monotonic()
            elif time.monotonic() - moved > _STANDSTILL_SECONDS:
                feeder.allowance, moved = feeder.allowance + _ALLOWANCE, time.monotonic()
            feeder.move()

    looking, trouble = asyncio.create_task(look()), asyncio.create_task(troubles())
    try:
        await feeder.run(planned, lambda _: reached.set())
        reached.set()
        await trouble
        await asyncio.gather(*ended)
    finally:
        looking.cancel()
        trouble.cancel()
    return feeder


def _done(built: Ground) -> int:
    return records.done(built)


def _drain(built: Ground, plan: Plan, feeder: Feeder, say: Callable[[str], None], began: float) -> Account:
    """Wait until everything is in a class and the queues are empty, or until time is up."""
    _until_back(built)
    deadline = time.monotonic() + plan.drain
    said = 0.0
    while True:
        account = _count(built, feeder)
        left, queued = len(account.classes[NOWHERE]), records.waiting(built)
        built.provider.quiet = not left
        unsaid = built.provider.unsaid + len(account.deliveries.unheeded)
        if not left and not queued and not unsaid:
            break
        if time.monotonic() > deadline:
            break
        if time.monotonic() - said > 10:
            said = time.monotonic()
            words = f"{unsaid} words of the provider"
            say(f"{said - began:6.0f} s  {left} in no class yet, {queued} on queues, {words}")
        time.sleep(_LOOK_SECONDS)
    # Copies that are still on their way would be answered now, if they were answered at all.
    time.sleep(2 * _LOOK_SECONDS)
    return _count(built, feeder)


def _count(built: Ground, feeder: Feeder) -> Account:
    provider = built.provider
    return ledger.count(feeder.stories, list(provider.took), records.read(built), list(provider.said))


def _until_back(built: Ground) -> None:
    """Until servers and processes are up again. AssertionError where one does not come back."""
    for name, server in built.servers.items():
        wait_until(lambda s=server: s.process.running and accepts(s.port), f"{name} to come back", 120)
    built.fleet.wait(120.0)


def _problems(built: Ground, account: Account, feeder: Feeder) -> list[str]:
    found = [f"SENT TWICE {line}" for line in account.duplicates]
    found += [f"OUT OF ORDER {line}" for line in account.out_of_order]
    found += [f"NOT ON RECORD {line}" for line in account.strangers]
    found += [f"NO CUSTOMER'S {line}" for line in account.not_said_by_customers]
    if broken := built.broken_queues():
        found.append(_BROKEN.format(", ".join(broken)))
    deliveries = account.deliveries
    found += [f"MOVED BACKWARDS {line}" for line in deliveries.backwards]
    found += [f"NOT SO {line}{_way(built, line)}" for line in deliveries.unfounded]
    found += [f"NOT HEEDED {line}{_way(built, line)}" for line in deliveries.unheeded]
    found += [f"ENDED BY ITSELF {line}" for line in built.fleet.unasked_ends]
    for message in account.classes[NOWHERE][:50]:
        story = feeder.stories[message]
        lines = [f"IN NO CLASS {message} {story.text}: answers {story.answers}"]
        lines += [f"    turn {row}" for row in built.query(_TURN.format(message))]
        lines += [f"    outbox {row}" for row in built.query(_OUT.format(message))]
        for log in sorted(built.folder.glob("*.log")):
            lines += [f"    {log.stem}: {line}" for line in _mentions(log, message)]
        found.append("\n".join(lines))
    return found


def _way(built: Ground, line: str) -> str:
    """How an outbound message came to its state, as far as it is known."""
    outbound = line.partition(":")[0]
    moves = built.query(f"SELECT before, after FROM chaos_moves WHERE outbound = '{outbound}' ORDER BY id")
    said = [
        f"{one.word.form} {one.word.state}{' with our id' if one.word.named else ''} of {one.taken.id}"
        for one in built.provider.said
        if one.taken.outbound == outbound
    ]
    return f"; moves {moves}, said {said}"


_REASONS = "SELECT reason, count(*) FROM handoffs GROUP BY reason ORDER BY reason"
_TURN = "SELECT id, state, action, fence, lease_expires_at, handoff_id FROM turns WHERE message_id = '{}'"
_OUT = (
    "SELECT o.id, o.kind, o.state, o.attempt, o.lease_expires_at, o.published_at, o.error_code FROM outbox o "
    "JOIN turns t ON t.id = o.turn_id WHERE t.message_id = '{}'"
)


def _mentions(log: Path, message: str) -> list[str]:
    text = log.read_text(errors="replace")
    pattern = re.compile(rf"{re.escape(message)}(?!\d)")
    return [line[:400] for line in text.splitlines() if pattern.search(line)][-12:]
