"""Runs the processes of a local installation: starts them, restarts one that dies, drains all of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

DRAIN_SECONDS = 20.0
# How long a start waits for a process that it does not need.
OPTIONAL_SECONDS = 15.0
FIRST_RESTART_SECONDS = 0.5
LONGEST_RESTART_SECONDS = 10.0


@dataclass(frozen=True)
class ProcessSpec:
    """One process: its name, the module it runs and how to see that it is ready."""

    name: str
    module: str
    ready: Callable[[], Awaitable[bool]] = field(compare=False)
    # Without one that is not needed the start goes on; it is tried again as one that died.
    needed: bool = True


class StartFailedError(Exception):
    """A process ended before it was ready; the text names it."""


class Supervisor:
    """Holds the processes of one installation.

    Each runs in a session of its own, so that Ctrl-C reaches the supervisor alone and processes
    are drained in the order that loses nothing: doors first, the system of record and scoring last.
    """

    def __init__(
        self, specs: list[ProcessSpec], environment: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self._specs = specs
        self._environment = dict(environment)
        self._say = say
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def start(self, within_seconds: float) -> None:
        """Start everything and return when all are ready. Raises StartFailedError."""
        for spec in self._specs:
            await self._spawn(spec)
        async with asyncio.timeout(within_seconds):
            await asyncio.gather(*(self._until_ready(spec) for spec in self._specs if spec.needed))
        for spec in self._specs:
            if not spec.needed:
                await self._wait_a_little(spec)
        self._keepers = [asyncio.create_task(self._keep(spec)) for spec in self._specs]

    async def stop(self) -> None:
        """Drain the processes, the last started first; kill what does not end in time."""
        self._stopping.set()
        for keeper in self._keepers:
            keeper.cancel()
        for spec in reversed(self._specs):
            process = self._running.get(spec.name)
            if process is None or process.returncode is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), DRAIN_SECONDS)
            except TimeoutError:
                self._say(f"{spec.name} did not stop within {DRAIN_SECONDS:.0f} s and was killed")
                process.kill()
                await process.wait()

    async def _spawn(self, spec: ProcessSpec) -> None:
        self._running[spec.name] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", spec.module, env=self._environment, start_new_session=True
        )

    async def _until_ready(self, spec: ProcessSpec) -> None:
        process = self._running[spec.name]
        while not await spec.ready():
            if process.returncode is not None:
                raise StartFailedError(f"{spec.name} ended with exit code {process.returncode} (see above)")
            await asyncio.sleep(0.05)

    async def _wait_a_little(self, spec: ProcessSpec) -> None:
        try:
            async with asyncio.timeout(OPTIONAL_SECONDS):
                await self._until_ready(spec)
        except TimeoutError:
            self._say(f"{spec.name} is not ready yet; the rest is")
        except StartFailedError as error:
            self._say(f"{error}; the rest runs without it")

    async def _keep(self, spec: ProcessSpec) -> None:
        pause = FIRST_RESTART_SECONDS
        while not self._stopping.is_set():
            process = self._running[spec.name]
            started = asyncio.get_running_loop().time()
            code = await process.wait()
            if asyncio.get_running_loop().time() - started > 60:
                pause = FIRST_RESTART_SECONDS
            cause = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._say(
                f"{spec.name} (process {process.pid}) ended with {cause}; starting it again in {pause:g} s"
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_RESTART_SECONDS)
            await self._spawn(spec)


def child_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the processes: this one's, with output that is not held back."""
    return {**(os.environ if environment is None else environment), "PYTHONUNBUFFERED": "1"}
