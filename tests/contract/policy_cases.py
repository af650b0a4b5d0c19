"""The golden cases of the decision table: one TOML file each, run against the function and over gRPC.

`[policy]` and `[facts]` hold what differs from a tenant that has set nothing; `[expect]` what matters. In
`[expect]` a `score = false` or an empty `level` means that there is none.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "policy_cases"


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    policy: dict[str, Any]
    facts: dict[str, Any]
    expect: dict[str, Any]


def cases() -> list[Case]:
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        values = tomllib.loads(path.read_text("utf-8"))
        found.append(Case(path.stem, values["title"], values["policy"], values["facts"], values["expect"]))
    return found
