"""What `metachat doctor` finds, and how it prints it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import click

OK: Final = "ok"
WARNING: Final = "warning"
FAULT: Final = "fault"
_COLOURS: Final = {OK: "green", WARNING: "yellow", FAULT: "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is (OK, WARNING, FAULT), and in one line what it says and what to do."""

    name: str
    state: str
    says: str


def read_findings(output: str) -> list[Finding]:
    """Findings that another process printed, a JSON object a line. Raises ValueError for anything else."""
    found = []
    for line in output.splitlines():
        try:
            found.append(Finding(**json.loads(line)))
        except TypeError as error:
            raise ValueError(line) from error
    return found


def print_findings(findings: Iterable[Finding]) -> None:
    """A line each."""
    for finding in findings:
        state = click.style(f"{finding.state:<8}", fg=_COLOURS.get(finding.state))
        click.echo(f"{state}{finding.name:<16}{' '.join(finding.says.split())}")


def faults(findings: Sequence[Finding]) -> int:
    """How many of them must be put right."""
    return sum(finding.state == FAULT for finding in findings)
