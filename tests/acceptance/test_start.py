"""Starting, stopping, and what a newcomer is told when something is in the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.installation import ROOT, Installation

TOKENS = ("METACHAT_INTERNAL_TOKEN", "METACHAT_OPERATOR_TOKEN")


def run_once(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "run"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_taken_port_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    prepared = Installation.prepare(tmp_path / "data")
    with socket.create_server(("127.0.0.1", int(prepared.environment["GATEWAY_HTTP_PORT"]))):
        done = run_once(prepared.environment)
    assert done.returncode != 0
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert len(lines) == 1 and "GATEWAY_HTTP_PORT" in lines[0] and "taken" in lines[0]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    prepared = Installation.prepare(tmp_path / "file" / "data")
    done = run_once(prepared.environment)
    assert done.returncode != 0
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert len(lines) == 1 and "METACHAT_DATA_FOLDER" in lines[0]


@pytest.mark.parametrize(
    ("module", "named"),
    [
        ("services.escalation", ("DATABASE_URL", "RABBITMQ_URL", "METACHAT_SECRET_KEY", *TOKENS)),
        ("services.gateway", ("RABBITMQ_URL", *TOKENS)),
        ("services.worker", ("RABBITMQ_URL", "METACHAT_INTERNAL_TOKEN")),
        ("services.confidence", TOKENS),
    ],
)
def test_production_refuses_to_start_and_names_everything_that_is_missing(
    tmp_path: Path, module: str, named: tuple[str, ...]
) -> None:
    environment = {"PATH": os.environ["PATH"], "METACHAT_ENV": "production", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    for variable in named:
        assert variable in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == len(named)


def test_ctrl_c_drains_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    running = Installation.prepare(tmp_path / "data").start()
    children = [
        running.child(f"services.{name}") for name in ("gateway", "confidence", "escalation", "worker")
    ]
    assert running.process is not None
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) == 0
    assert not any(child.is_running() for child in children)


def test_the_escalation_switch_sends_replies_unscored(tmp_path: Path) -> None:
    running = Installation.prepare(tmp_path / "data", ENABLE_CONFIDENCE_ESCALATION="false").start()
    try:
        answer = running.chat("What specific medication should I take for my rare condition?")
        judged = answer["metadata"]["confidenceEscalation"]
        assert judged["enabled"] is False and judged["action"] == "CONTINUE" and judged["escalated"] is False
        assert "confidenceScore" not in judged
        wished = running.chat("I want to talk to a human")
        assert wished["metadata"]["confidenceEscalation"]["action"] == "IMMEDIATE_ESCALATION"
    finally:
        running.stop()
