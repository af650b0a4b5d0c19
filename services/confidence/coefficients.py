"""The scorer's coefficients as a file that people can read: data sets, date, figures, one model per
pattern.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.confidence.fusion import PatternModel, Term, all_patterns
from services.confidence.scoring import Figures

# Raised with every change of code that changes scores; the file's digest covers the coefficients.
CODE_VERSION = "1.1"
SHIPPED = Path(__file__).with_name("coefficients.json")


class CoefficientsError(Exception):
    """The file is not a complete set of models."""


@dataclass(frozen=True)
class Coefficients:
    """All models by pattern. version: code, date and digest; two scorers of one version give equal scores."""

    version: str
    fitted_on: str
    models: Mapping[str, PatternModel]


def parse(text: str) -> Coefficients:
    """Coefficients from JSON; raises CoefficientsError naming what is missing or out of bounds."""
    try:
        raw: dict[str, Any] = json.loads(text)
        models = {name: _model(name, entry) for name, entry in raw["patterns"].items()}
        fitted_on = str(raw["fitted_on"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CoefficientsError(f"coefficients are not readable: {error!r}") from error
    missing = [name for name in all_patterns() if name not in models]
    if missing:
        raise CoefficientsError(f"no model for {', '.join(missing)}")
    digest = hashlib.sha256(json.dumps(raw["patterns"], sort_keys=True).encode()).hexdigest()[:8]
    return Coefficients(f"{CODE_VERSION}+{fitted_on}.{digest}", fitted_on, models)


def load(path: Path = SHIPPED) -> Coefficients:
    """Coefficients from a file; raises CoefficientsError, OSError."""
    return parse(path.read_text(encoding="utf-8"))


def _model(name: str, entry: dict[str, Any]) -> PatternModel:
    terms = {
        signal: Term(float(term["weight"]), float(term["neutral"]))
        for signal, term in entry["signals"].items()
    }
    for signal, term in terms.items():
        if not (0.0 <= term.weight <= 20.0 and 0.0 <= term.neutral <= 1.0):
            raise CoefficientsError(f"{name}: {signal} has weight {term.weight}, neutral {term.neutral}")
    calibration = entry["calibration"]
    figures = Figures(
        tuple(entry.get("data_sets", ())),
        int(entry.get("rows", 0)),
        {figure: float(value) for figure, value in entry.get("figures", {}).items()},
    )
    return PatternModel(
        name,
        float(entry["base"]),
        terms,
        float(calibration["slope"]),
        float(calibration["intercept"]),
        figures,
    )
