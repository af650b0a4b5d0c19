"""A process from its start to its end: signals, exit codes, and what is said when it cannot start."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = """
import asyncio, sys
from services.common import process
from services.common.settings import SettingsError

async def main(stop):
    import uvloop
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    what = sys.argv[1]
    if what == "settings":
        raise SettingsError(["A is not set: set it", "B=1 is odd: correct it"])
    if what == "bug":
        raise KeyError("oh")
    if what == "return":
        return
    print("ready", flush=True)
    await stop.wait()
    print("draining", flush=True)
    if what == "slow":
        await asyncio.Event().wait()
    print("drained", flush=True)

process.run("toy", main)
"""


def start(what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, what]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_a_main_that_returns_ends_well() -> None:
    assert end(start("return")) == (0, "", "")


def test_faults_of_the_settings_are_plain_lines() -> None:
    assert end(start("settings")) == (2, "", "toy: A is not set: set it\ntoy: B=1 is odd: correct it\n")


def test_anything_else_is_written_down_with_its_traceback() -> None:
    code, _, err = end(start("bug"))
    assert code == 1
    assert "process failed" in err and "KeyError: 'oh'" in err


def test_both_signals_drain() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start("wait")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        code, out, _ = end(process)
        assert (code, out) == (0, "draining\ndrained\n")


def test_a_second_signal_ends_it_at_once() -> None:
    process = start("slow")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "draining\n"
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert code == 130 and "drained" not in out
    assert "without draining" in err
