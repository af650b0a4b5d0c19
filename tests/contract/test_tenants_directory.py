"""What the directory of tenants promises when reads and changes cross or the database goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from metachat.escalation.v1.settings_pb2 import TenantSettings
from sqlalchemy import update

from services.common.clock import SystemClock
from services.common.errors import Kind, ServiceError
from services.common.settings import Secret
from services.escalation.migrations.upgrade import upgrade
from services.escalation.secrets.box import SecretBox
from services.escalation.store.database import Database, unavailable
from services.escalation.store.opening import database_for
from services.escalation.store.schema import tenants
from services.escalation.tenants.administration import Administration, TenantChange
from services.escalation.tenants.directory import TenantDirectory, TenantUpdate

KEY = Secret("a-key-for-these-tests-alone")


class Gate:
    """A database whose reads can be counted, held back after they were made, and made to fail."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.wakeups = database.wakeups
        self.reads = 0
        self.away = False
        self.answering = asyncio.Event()
        self.answering.set()
        self.held = asyncio.Event()

    async def read(self, query: Any) -> Any:
        self.reads += 1
        if self.away:
            raise unavailable("pulled the plug")
        answer = await self._database.read(query)
        if not self.answering.is_set():
            self.held.set()
            await self.answering.wait()
        return answer

    async def write(self, unit: Any) -> Any:
        return await self._database.write(unit)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path / 'metachat.db'}"
    await upgrade(url)
    opened = database_for(url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def gate(database: Database) -> Gate:
    return Gate(database)


@pytest.fixture
async def directory(gate: Gate) -> AsyncIterator[TenantDirectory]:
    """Looks for changes of others so seldom that these tests see none of its reads but the first."""
    opened = TenantDirectory(gate, SecretBox(KEY), poll_seconds=3600)  # type: ignore[arg-type]
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def elsewhere(database: Database) -> AsyncIterator[Administration]:
    """Another process's administration: its own directory and no wake-up of ours."""
    other = TenantDirectory(database, SecretBox(KEY))
    administration = Administration(database, other, SecretBox(KEY), SystemClock())
    await administration.create("metrica", "Metrica", TenantSettings(llm={"api_key": "sk"}), request_id="")
    yield administration
    await other.close()


def tone(text: str) -> TenantChange:
    return TenantChange("metrica", "", TenantSettings(tone=text), (), "", "", "test")


async def test_all_who_ask_at_once_share_one_read(elsewhere, gate, directory) -> None:
    before = gate.reads
    records = await asyncio.gather(*(directory.get("metrica") for _ in range(50)))
    assert gate.reads == before + 1 and all(record is records[0] for record in records)
    assert await directory.get("metrica") is records[0] and gate.reads == before + 1


async def test_one_who_gives_up_takes_the_read_from_nobody(elsewhere, gate, directory) -> None:
    gate.answering.clear()
    impatient, patient = [asyncio.create_task(directory.get("metrica")) for _ in range(2)]
    await gate.held.wait()
    impatient.cancel()
    gate.answering.set()
    assert (await patient).id == "metrica"


async def test_a_read_that_a_change_overtook_is_not_kept(elsewhere, gate, directory) -> None:
    gate.answering.clear()
    slow = asyncio.create_task(directory.get("metrica"))
    await gate.held.wait()
    await elsewhere.update(tone("new"))
    directory.forget("metrica")
    gate.answering.set()
    assert (await slow).settings.tone == ""
    assert (await directory.get("metrica")).settings.tone == "new"


async def test_a_tenant_that_is_not_there_is_looked_for_again(directory, database) -> None:
    with pytest.raises(ServiceError) as missing:
        await directory.get("late")
    assert missing.value.kind is Kind.NOT_FOUND
    administration = Administration(database, directory, SecretBox(KEY), SystemClock())
    await administration.create("late", "Late", TenantSettings(), request_id="")
    assert (await directory.get("late")).name == "Late"


async def test_following_goes_on_when_the_database_is_back(elsewhere, gate) -> None:
    following = TenantDirectory(gate, SecretBox(KEY), poll_seconds=0.01)
    await following.open()
    try:
        assert (await following.get("metrica")).settings.tone == ""
        gate.away = True
        reads = gate.reads
        await _until(lambda: _is(gate.reads > reads + 2))
        await elsewhere.update(tone("new"))
        assert (await following.get("metrica")).settings.tone == ""
        gate.away = False
        await _until(lambda: _has_tone(following, "new"))
    finally:
        await following.close()


async def test_a_secret_that_cannot_be_opened_takes_nothing_else_with_it(elsewhere, database) -> None:
    other_key = TenantDirectory(database, SecretBox(Secret("quite-another-key-of-the-operator")))
    record = await other_key.get("metrica")
    assert record.name == "Metrica" and not record.llm_api_key
    await other_key.close()


async def test_settings_that_cannot_be_read_stop_their_tenant_alone(elsewhere, directory, database) -> None:
    await elsewhere.create("good", "Good", TenantSettings(), request_id="")
    broken = update(tenants).where(tenants.c.id == "metrica").values(settings={"tone": 7})
    await database.write(lambda connection: connection.execute(broken) and None)
    with pytest.raises(ServiceError) as refused:
        await directory.get("metrica")
    assert refused.value.kind is Kind.INTERNAL
    seen: list[TenantUpdate] = []
    async for change in directory.watch():
        seen.append(change)
        if change.ready:
            break
    assert [change.tenant_id for change in seen] == ["good", ""]


async def test_a_watch_misses_nothing_that_happens_while_it_begins(elsewhere, gate, directory) -> None:
    gate.answering.clear()
    watch = directory.watch()
    first = asyncio.create_task(anext(watch))
    await gate.held.wait()
    administration = Administration(gate, directory, SecretBox(KEY), SystemClock())  # type: ignore[arg-type]
    change = asyncio.create_task(administration.update(tone("new")))
    gate.answering.set()
    await change
    tones = [(await first).record.settings.tone]
    async with asyncio.timeout(2):
        while tones[-1] != "new":
            update_ = await anext(watch)
            if update_.record is not None:
                tones.append(update_.record.settings.tone)
    await watch.aclose()


async def _is(value: bool) -> bool:
    return value


async def _has_tone(directory: TenantDirectory, text: str) -> bool:
    return (await directory.get("metrica")).settings.tone == text


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(2.0):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.01)
