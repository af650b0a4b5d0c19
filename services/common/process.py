"""Runs a process: event loop, signals, and what is said when it cannot start."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import uvloop

from services.common.logs import get_logger
from services.common.settings import SettingsError
from services.common.telemetry import shutdown_tracing

EXIT_SETTINGS: Final = 2
_log = get_logger(__name__)


def run(service: str, main: Callable[[asyncio.Event], Awaitable[None]]) -> NoReturn:
    """Run `main(stop)` on uvloop and exit; every `__main__` ends in this.

    SIGTERM and SIGINT set `stop`, upon which `main` drains and returns; a second one ends the process at
    once. Exit codes: 0 after a drain, 2 for SettingsError (its faults as plain lines on stderr), 1 for any
    other error.
    """
    sys.exit(run_until_stopped(service, main))


def run_until_stopped(service: str, main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """What `run` does, giving the exit code instead of exiting."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(service, main))
    except SettingsError as error:
        for fault in error.faults:
            print(f"{service}: {fault}", file=sys.stderr)
        return EXIT_SETTINGS
    except Exception:  # the boundary of the process: whatever it is, it is written down before the end
        _log.exception("process failed")
        return 1
    finally:
        shutdown_tracing()
    return 0


async def _main(service: str, main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            _log.warning("stopping at once, without draining", signal=number.name)
            os._exit(128 + number)
        _log.info("stopping", signal=number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        await main(stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
