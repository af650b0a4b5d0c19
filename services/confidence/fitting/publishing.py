"""Writes the coefficients as a file that people can read and that is the same after every fit of the same
data.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.confidence.fusion import PatternModel

NOTE = (
    "Written by `make scorer` from labelled replies; do not edit by hand. logit(raw score) = base + sum of"
    " weight x (value - neutral) over the signals that are available; the global calibration maps it by"
    " slope x logit + intercept. transfer: what left-out data made of the fitted log-odds; it is in the"
    " weights. How it was fitted, and what it is worth: docs/scoring-report.md."
)


def calibration_of(pattern: str, families: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """A pattern's calibration: its family's own, or the mean of several."""
    given = [name for name in pattern.split("+") if name != "text"] or ["text"]
    slope = float(np.mean([families[name][0] for name in given]))
    intercept = float(np.mean([families[name][1] for name in given]))
    return round(slope, 3), round(intercept, 3)


def document(
    models: Mapping[str, PatternModel],
    calibrations: Mapping[str, tuple[float, float]],
    data_sets: Mapping[str, Sequence[str]],
    rows: Mapping[str, int],
    figures: Mapping[str, Mapping[str, float]],
    fitted_on: str,
) -> dict[str, Any]:
    """The file's content. calibrations, data_sets, rows and figures are by family.

    The transfer slopes are worked into the weights already and stand there to be read; the global
    calibration of such models is the identity.
    """
    patterns: dict[str, Any] = {}
    for pattern, model in models.items():
        given = [name for name in pattern.split("+") if name != "text"] or ["text"]
        slope, intercept = calibration_of(pattern, calibrations)
        patterns[pattern] = {
            "base": model.base,
            "signals": {
                name: {"weight": term.weight, "neutral": term.neutral}
                for name, term in sorted(model.terms.items())
            },
            "calibration": {"slope": 1.0, "intercept": 0.0},
            "transfer": {"slope": slope, "intercept": intercept},
            "data_sets": sorted({name for family in given for name in data_sets[family]}),
            "rows": sum(rows[family] for family in given),
            "figures": dict(figures[given[0]]) if len(given) == 1 else {},
        }
    return {"note": NOTE, "fitted_on": fitted_on, "patterns": patterns}


def unchanged_since(path: Path, content: Mapping[str, Any]) -> str:
    """The date of the file where it holds the very same models, else "": fitted again on another day they
    keep their version, and tenants' calibrations, which are bound to it, stay in force.
    """
    try:
        standing = json.loads(path.read_text(encoding="utf-8"))
        same = standing["patterns"] == json.loads(json.dumps(content["patterns"]))
        return str(standing["fitted_on"]) if same else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes the file as indented JSON with a newline at its end."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
