"""The manifests for Kubernetes: probes, time to drain, bounds, and an environment that the settings know."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.common.settings import SettingsError

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [
    document
    for path in sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
DEPLOYMENTS = [document for document in DOCUMENTS if document["kind"] == "Deployment"]
SERVICES = {
    document["metadata"]["name"]: document["spec"] for document in DOCUMENTS if document["kind"] == "Service"
}
SECRETS = {
    "DATABASE_URL": "postgresql://metachat:x@postgres:5432/metachat",
    "RABBITMQ_URL": "amqp://metachat:x@rabbitmq:5672/",
}
every = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: str(each["metadata"]["name"]))


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    return {
        each["name"]: each.get("value", SECRETS.get(each["name"], "a" * 64))
        for each in container(deployment)["env"]
    }


def test_every_process_of_the_product_has_one() -> None:
    processes = {"confidence", "console", "escalation", "gateway", "worker"}
    assert {each["metadata"]["name"] for each in DEPLOYMENTS} == processes


@every
def test_production_starts_with_its_environment(deployment: dict[str, Any]) -> None:
    settings = importlib.import_module(f"services.{deployment['metadata']['name']}.settings").Settings
    given = environment(deployment)
    assert settings.from_environment(given).installation.production
    for each in container(deployment)["env"]:
        if "valueFrom" in each and each["name"] not in ("META_APP_SECRET", "META_VERIFY_TOKEN"):
            with pytest.raises(SettingsError, match=each["name"]):
                settings.from_environment(
                    {name: value for name, value in given.items() if name != each["name"]}
                )


@every
def test_the_settings_know_every_variable(deployment: dict[str, Any]) -> None:
    name = deployment["metadata"]["name"]
    files = [*(ROOT / "services" / name).glob("*.py"), *(ROOT / "services/common").glob("*.py")]
    read = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', "\n".join(path.read_text() for path in files)))
    assert environment(deployment).keys() <= read


@every
def test_it_has_longer_to_end_than_it_takes_to_drain(deployment: dict[str, Any]) -> None:
    name = deployment["metadata"]["name"]
    drain = float(environment(deployment)[f"{name.upper()}_DRAIN_SECONDS"])
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= drain + 10


@every
def test_it_is_probed_bounded_and_confined(deployment: dict[str, Any]) -> None:
    only = container(deployment)
    ports = {port["containerPort"] for port in only["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        (how,) = (only[probe][kind] for kind in ("httpGet", "grpc", "tcpSocket") if kind in only[probe])
        assert how["port"] in ports
    assert only["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in only["resources"]["limits"]
    assert only["securityContext"]["readOnlyRootFilesystem"] is True
    assert deployment["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
    assert only["command"] == ["python", "-m", f"services.{deployment['metadata']['name']}"]


@every
def test_it_reaches_services_that_are_there(deployment: dict[str, Any]) -> None:
    for value in environment(deployment).values():
        if value.startswith("dns:///"):
            name, port = value.removeprefix("dns:///").split(":")
            assert int(port) in {each["port"] for each in SERVICES[name]["ports"]}
            # One address for each replica, or all calls of a connection go to one of them.
            assert SERVICES[name]["clusterIP"] == "None"


@every
def test_its_pods_are_those_it_selects(deployment: dict[str, Any]) -> None:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    name = deployment["metadata"]["name"]
    if name in SERVICES:
        assert SERVICES[name]["selector"].items() <= labels.items()
