"""pytest fixtures over the servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.providers.escalation import ToyEscalation
from tests.providers.meta_server import MetaServer
from tests.providers.openai_server import OpenAIServer


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def meta_server() -> Iterator[MetaServer]:
    with MetaServer() as server:
        yield server


@pytest.fixture
async def escalation() -> AsyncIterator[ToyEscalation]:
    toy = ToyEscalation()
    await toy.start()
    yield toy
    await toy.stop()
