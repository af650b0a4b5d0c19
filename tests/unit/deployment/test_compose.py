"""compose.yaml follows the Compose Specification and keeps the promises of the README."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "compose.yaml").read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services with their anchors resolved."""
    return dict(yaml.safe_load(TEXT)["services"])


def test_it_follows_the_compose_specification() -> None:
    parsed = PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(TEXT)))
    for name in ("gateway", "confidence", "escalation", "worker", "console", "postgres", "rabbitmq"):
        assert name in parsed


def test_the_check_would_see_a_fault() -> None:
    broken = yaml.safe_load(TEXT)
    broken["services"]["gateway"]["stop_grace_period"] = "sometime"
    with pytest.raises(ValueError):
        PyCompose.from_yaml(yaml.safe_dump(broken))


def test_every_service_has_a_health_check(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "healthcheck" not in service] == []


def test_two_replicas_of_confidence_stand_behind_client_side_balancing(services: dict[str, Any]) -> None:
    assert services["confidence"]["deploy"]["replicas"] == 2
    assert services["escalation"]["environment"]["CONFIDENCE_ADDRESS"].startswith("dns:///")


def test_no_secret_stands_in_the_file(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASS|TOKEN|SECRET|KEY", variable):
                assert str(value).startswith("${"), f"{name}: {variable} is written out"
        for variable in ("DATABASE_URL", "RABBITMQ_URL"):
            address = service.get("environment", {}).get(variable, "")
            assert not address or re.search(r":\$\{[A-Z_]+\}@", address), (
                f"{name}: {variable} holds a password"
            )


def test_only_the_doors_are_published(services: dict[str, Any]) -> None:
    published = {
        (name, port)
        for name, service in services.items()
        for port in service.get("ports", [])
        if not port.startswith("127.0.0.1:")
    }
    assert published == {("gateway", "8080:8080"), ("gateway", "50050:50050")}
    # The console is for a proxy on this machine.
    assert services["console"]["ports"] == ["127.0.0.1:8090:8090"]
