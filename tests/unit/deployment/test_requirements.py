"""What is locked is what is declared, with hashes and without an index address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUILD_TOOLS = {"setuptools", "wheel"}


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!\[; ]", requirement.strip())[0].lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {name_of(line) for line in project["dependencies"]} - {"metachat-protos"}


def test_the_inputs_of_the_lock_are_those_of_the_project() -> None:
    lines = (ROOT / "requirements.in").read_text().splitlines()
    listed = {name_of(line) for line in lines if line.strip() and not line.startswith("#")}
    assert listed - BUILD_TOOLS == declared()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_pin_has_a_hash_and_no_index_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^([a-z0-9._-]+)==\S+( \\)?$", text, flags=re.MULTILINE)
    assert {name for name, _ in pins} >= declared()
    assert all(continued for _, continued in pins)
    assert not re.search(r"https?://|--index-url|--find-links", text)


def test_the_readme_gives_a_reason_for_every_dependency() -> None:
    readme = (ROOT / "README.md").read_text()
    assert {name for name in declared() if f"`{name}`" not in readme} == set()


def test_the_grpc_family_is_pinned_together() -> None:
    pins = set(
        re.findall(r"^grpcio[a-z-]*==(\S+)", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    )
    assert len(pins) == 1
