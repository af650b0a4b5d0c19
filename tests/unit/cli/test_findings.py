"""What the doctor reads from another process and prints."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from services.cli.__main__ import main
from services.cli.findings import FAULT, OK, WARNING, Finding, faults, read_findings


def test_findings_of_another_process_are_read_line_by_line() -> None:
    lines = [
        json.dumps({"name": "database", "state": OK, "says": "answers"}),
        json.dumps({"name": "revision", "state": FAULT, "says": "old"}),
    ]
    assert read_findings("\n".join(lines)) == [
        Finding("database", OK, "answers"),
        Finding("revision", FAULT, "old"),
    ]


@pytest.mark.parametrize("output", ["Traceback (most recent call last):", "{}", '{"name": "x"}', "[1]"])
def test_anything_else_is_refused(output: str) -> None:
    with pytest.raises(ValueError):
        read_findings(output)


def test_only_faults_count() -> None:
    found = [Finding("a", OK, ""), Finding("b", WARNING, ""), Finding("c", FAULT, "")]
    assert faults(found) == 1


@pytest.mark.parametrize("command", ["doctor", "audit", "users", "customers", "tenants"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0 and "Usage:" in result.output
