"""Installations that the acceptance tests share: starting one takes seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.acceptance.browser import ConsoleBrowser, opened
from tests.acceptance.installation import Installation


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The product as `make run` starts it: SQLite, the embedded queue, the built-in responder."""
    running = Installation.prepare(tmp_path_factory.mktemp("installation") / "data").start()
    yield running
    running.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(installation: Installation) -> AsyncIterator[ConsoleBrowser]:
    """A Chromium beside it; the file's tests run in the loop of their module."""
    async with opened(installation) as browser:
        yield browser
