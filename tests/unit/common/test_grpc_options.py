"""gRPC ignores an option whose name it does not know, without a word: the names must be its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from grpc._cython import cygrpc

_SERVICES = Path(__file__).resolve().parents[3] / "services"
_LIBRARY = Path(cygrpc.__file__).read_bytes()


def _options() -> set[str]:
    text = "\n".join(path.read_text() for path in _SERVICES.rglob("*.py"))
    return set(re.findall(r'\(\s*"(grpc\.[a-z0-9_.]+)",', text))


def test_there_are_options_to_look_at() -> None:
    assert "grpc.keepalive_time_ms" in _options()


@pytest.mark.parametrize("name", sorted(_options()))
def test_grpc_knows_the_option(name: str) -> None:
    assert name.encode() in _LIBRARY
