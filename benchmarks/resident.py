"""Resident memory of the processes of an installation."""

from __future__ import annotations

from tests.acceptance.installation import Installation

PROCESSES = ("gateway", "confidence", "escalation", "worker")


def memory(installation: Installation, when: str) -> None:
    """Print the resident memory of each process."""
    sizes = []
    for name in PROCESSES:
        process = installation.child(f"services.{name}")
        family = [process, *process.children(recursive=True)]
        sizes.append(f"{name} {sum(each.memory_info().rss for each in family) / 1e6:.0f}")
    print(f"\nresident MB {when}: {', '.join(sizes)}")
