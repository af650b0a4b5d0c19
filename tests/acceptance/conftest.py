"""Installations that the acceptance tests share: starting one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.installation import Installation


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The product as `make run` starts it: SQLite, the embedded queue, the built-in responder."""
    running = Installation.prepare(tmp_path_factory.mktemp("installation") / "data").start()
    yield running
    running.stop()
