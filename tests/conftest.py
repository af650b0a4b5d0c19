"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import pytest
from grpc.aio import init_grpc_aio

from services.common.clock import FixedClock

# Held for good: with the last server or channel of a process gone, grpc.aio shuts down wherever the garbage
# collector happens to run; in another thread than that of a server being made, each waits for the other.
init_grpc_aio()

pytest_plugins = ["tests.servers.fixtures", "tests.databases"]


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still until a test moves it."""
    return FixedClock()
