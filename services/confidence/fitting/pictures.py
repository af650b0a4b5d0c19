"""Reliability diagrams and risk-coverage curves of the report, drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from services.confidence.fitting.learning import Matrix
from services.confidence.fitting.metrics import risks

# Colours that stay apart for colour-blind readers (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
_BINS = 8


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # No date and no version inside: the same fit draws the same file.
    figure.savefig(path, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def reliability(path: Path, title: str, sets: Mapping[str, tuple[Matrix, Matrix]]) -> None:
    """Share of right replies over the mean score, in bins of equal size; sets: name to (scores, labels)."""
    figure, axes = plt.subplots(figsize=(5.2, 4.6))
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle="--", label="as promised")
    for index, (name, (scores, labels)) in enumerate(sets.items()):
        order = np.argsort(scores, kind="stable")
        parts = np.array_split(order, min(_BINS, max(2, len(order) // 25)))
        x = [float(scores[part].mean()) for part in parts]
        y = [float(labels[part].mean()) for part in parts]
        axes.plot(
            x, y, marker="o", markersize=4, linewidth=1.4, color=_COLOURS[index % len(_COLOURS)], label=name
        )
    for edge in (0.2, 0.6, 0.8):
        axes.axvline(edge, color="#dddddd", linewidth=1, zorder=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel="share of right replies", title=title)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    _save(figure, path)


def risk_coverage(path: Path, title: str, curves: Sequence[tuple[str, Matrix, Matrix]]) -> None:
    """Share of wrong replies among those sent, over the share sent; curves: (name, scores, labels)."""
    figure, axes = plt.subplots(figsize=(5.2, 4.2))
    for index, (name, scores, labels) in enumerate(curves):
        risk = risks(labels, scores)
        coverage = np.arange(1, len(risk) + 1) / len(risk)
        start = max(1, len(risk) // 50)
        ours = name.endswith(": ours")
        axes.plot(
            coverage[start:],
            risk[start:],
            linewidth=1.6,
            linestyle="-" if ours else "--",
            color=_COLOURS[index % len(_COLOURS)] if ours else "#888888",
            label=name,
        )
    axes.set(
        xlim=(0, 1), ylim=(0, None), xlabel="share of replies sent", ylabel="share of them wrong", title=title
    )
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    _save(figure, path)
