"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import pytest

from services.common.clock import FixedClock

pytest_plugins = ["tests.servers.fixtures", "tests.databases"]


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still until a test moves it."""
    return FixedClock()
