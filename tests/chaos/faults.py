"""Carries faults out on a running installation, and heals them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

from tests.chaos import disk
from tests.chaos.ground import Ground
from tests.chaos.schedule import Blow, Fault

_SLOW_SECONDS = 0.15
# Bytes. Below the broker's limit (tests/servers/rabbitmq.py), with room for what it writes until it looks.
_BELOW_ALARM = 40_000_000


def blows(built: Ground) -> list[Blow]:
    """Everything that can strike this installation."""
    return list(_blows(built))


def _blows(built: Ground) -> Iterator[Blow]:
    processes = list(built.fleet.members)
    for name in processes:
        yield Blow("kill", name)
    if built.broker is not None:
        yield Blow("kill", "rabbitmq")
        yield Blow("kill", "postgresql")
    for name in processes:
        if name.startswith("worker") or name == "escalation":
            yield Blow("freeze", name)
    for wire in built.wires:
        yield Blow("cut", wire)
        yield Blow("silence", wire)
        yield Blow("slow", wire)
    for name, small in built.disks.items():
        if name == "rabbitmq" and small.available and not built.shape.last_page:
            yield Blow("disk alarm", name)
        elif small.available or built.broker is None:
            yield Blow("disk full", name)
    for kind in ("5xx", "429", "resets before", "resets after", "silent"):
        yield Blow(f"provider {kind}", "provider")


def strike(built: Ground, fault: Fault) -> Callable[[], None]:
    """Begin; gives what ends it. A process that was killed is started again by its orchestrator."""
    kind, target = fault.blow.kind, fault.blow.target
    if kind == "kill":
        return _kill(built, target, fault.seconds)
    if kind == "freeze":
        member = built.fleet.members[target]
        process = member.process
        member.signal(signal.SIGSTOP)

        def thaw() -> None:
            # Not one that was killed and started again meanwhile.
            if member.process is process:
                member.signal(signal.SIGCONT)

        return thaw
    if kind in ("cut", "silence", "slow"):
        wire = built.wires[target]
        match kind:
            case "cut":
                wire.cut()
            case "silence":
                wire.silence()
            case _:
                wire.slow(_SLOW_SECONDS)
        return wire.heal
    if kind == "disk alarm":
        built.disks[target].fill(leave=_BELOW_ALARM)
        return built.disks[target].free
    if kind == "disk full":
        return _fill(built, target)
    built.provider.mode = kind.removeprefix("provider ")
    return lambda: setattr(built.provider, "mode", "")


def _kill(built: Ground, target: str, seconds: float) -> Callable[[], None]:
    server = built.servers.get(target)
    if server is None:
        built.fleet.kill(target, seconds)
        return lambda: None
    built.down.add(target)
    server.process.kill()
    # Its keeper starts it again.
    return lambda: built.down.discard(target)


def _fill(built: Ground, target: str) -> Callable[[], None]:
    small = built.disks[target]
    if not small.available:
        members = built.fleet.members.values()
        pids = [member.process.pid for member in members if member.process is not None]
        disk.forbid_growth(pids)
        return lambda: disk.allow_growth(pids)
    small.fill()

    def free() -> None:
        small.free()
        server = built.servers.get(target)
        if server is not None:
            # As an operator must: quorum queues of RabbitMQ 3.10 whose log could not be written stay refused
            # until their node starts again (its keeper does that).
            server.process.kill()

    return free
