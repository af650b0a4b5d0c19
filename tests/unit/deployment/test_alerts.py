"""Alert rules and the dashboard speak of metrics and labels that exist; each alert has a runbook."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.common.metrics import REGISTRY

ROOT = Path(__file__).resolve().parents[3]
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "deploy/dashboard.json").read_text())
RUNBOOK = (ROOT / "docs/alerts.md").read_text()
# What Prometheus adds to every series.
ADDED = {"job", "instance", "le"}


@pytest.fixture(scope="module")
def labels() -> dict[str, set[str]]:
    """Label names by series name, of every metric of the product."""
    for path in sorted((ROOT / "services").rglob("*.py")):
        if re.search(r"\b(Counter|Gauge|Histogram)\(", path.read_text()) and "REGISTRY" in path.read_text():
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found: dict[str, set[str]] = {}
    for collector, names in REGISTRY._collector_to_names.items():
        for name in names:
            found[name] = set(getattr(collector, "_labelnames", ()))
    return found


def expressions() -> list[tuple[str, str]]:
    queries = [(rule["alert"], rule["expr"]) for rule in RULES]
    for panel in DASHBOARD["panels"]:
        queries += [(panel["title"], target["expr"]) for target in panel.get("targets", ())]
    return queries


@pytest.mark.parametrize(("name", "query"), expressions())
def test_every_metric_and_label_exists(name: str, query: str, labels: dict[str, set[str]]) -> None:
    metrics = set(re.findall(r"\bmetachat_\w+", query))
    assert metrics, f"{name} looks at no metric of ours"
    assert metrics <= labels.keys(), f"{name}: {metrics - labels.keys()} do not exist"
    for metric, chosen in re.findall(r"\b(metachat_\w+)\{([^}]*)\}", query):
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen))
        assert asked <= labels[metric] | ADDED, f"{name}: {metric} has no label {asked - labels[metric]}"
    for grouped in re.findall(r"\bby \(([^)]*)\)", query):
        wanted = {label.strip() for label in grouped.split(",")} - ADDED
        assert all(any(label in labels[metric] for metric in metrics) for label in wanted), name


def test_a_metric_that_does_not_exist_would_be_seen(labels: dict[str, set[str]]) -> None:
    assert "metachat_no_such_thing" not in labels
    assert "metachat_worker_messages_total" in labels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_how_bad_it_is_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert file == "docs/alerts.md" and anchor == rule["alert"].lower()
    assert f"\n## {rule['alert']}\n" in RUNBOOK
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_every_heading_of_the_runbook_is_an_alert() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, flags=re.MULTILINE)) == {rule["alert"] for rule in RULES}
