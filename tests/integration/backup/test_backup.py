"""The commands of docs/backup.md, run while turns are recorded; what they restore is whole and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from metachat.escalation.v1 import tenant_pb2
from sqlalchemy import Connection, func, select, text

from services.common.installation import Installation
from services.common.settings import Secret
from services.escalation.checkup import FAULT, examine
from services.escalation.store.schema import METADATA, messages, turns
from tests.contract import escalation_server as server
from tests.servers.fixtures import PostgresServer

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "backup.md").read_text()


@contextlib.asynccontextmanager
async def busy(url: str, folder: Path) -> AsyncIterator[server.World]:
    """A service that records turn after turn as long as it is open."""
    async with server.running(url, folder) as world:
        await world.tenants().CreateTenant(
            tenant_pb2.CreateTenantRequest(
                id=server.TENANT, name="Metrica", settings={"llm": {"api_key": "sk-secret"}}
            )
        )
        for number in range(10):
            await world.turn(f"before {number}")

        async def record() -> None:
            number = 0
            while True:
                await world.turn(f"meanwhile {number}")
                number += 1

        recording = asyncio.create_task(record())
        try:
            yield world
        finally:
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)


def whole(connection: Connection) -> dict[str, int]:
    """Rows of each table; every turn has its message."""
    orphans = connection.execute(
        select(func.count())
        .select_from(turns.outerjoin(messages, messages.c.id == turns.c.inbound_id))
        .where(messages.c.id.is_(None))
    ).scalar_one()
    assert orphans == 0
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in METADATA.sorted_tables
    }


async def goes_on(url: str, folder: Path) -> None:
    """The doctor finds nothing wrong, and a service on the restored database answers turns."""
    installation = Installation(
        production=False,
        data_folder=folder,
        secret_key=server.KEY,
        internal_token=server.INTERNAL,
        operator_token=server.OPERATOR,
        rabbitmq_url=None,
        database_url=Secret(url),
    )
    found = await examine(installation)
    assert [finding.state for finding in found if finding.state == FAULT] == [], found
    async with server.running(url, folder) as world:
        tenant = await world.tenants().GetTenant(tenant_pb2.GetTenantRequest(tenant_id=server.TENANT))
        assert tenant.name == "Metrica" and tenant.settings.llm.api_key_set
        assert (await world.turn("after")).reply
        counts = await world.database.read(whole)
        assert counts["turns"] >= 11
        if url.startswith("sqlite"):
            await world.database.write(
                lambda c: (
                    c.execute(text("INSERT INTO passage_words (passage_words) VALUES ('integrity-check')"))
                    and None
                )
            )


def documented(word: str) -> str:
    """The command of the page that has this word in it."""
    blocks: list[str] = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
    return next(line for block in blocks for line in block.splitlines() if word in line)


async def run(command: str) -> None:
    """As a shell runs it."""
    process = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


@pytest.mark.parametrize("word", [".backup", "VACUUM INTO"])
async def test_sqlite_is_backed_up_while_it_runs_and_restored(tmp_path: Path, word: str) -> None:
    data, backup = tmp_path / ".data", tmp_path / "backup"
    for folder in (data, backup):
        folder.mkdir()
    url = f"sqlite:///{data / 'metachat.db'}"
    command = documented(word).replace(".data/", f"{data}/").replace("/backup/", f"{backup}/")
    if word == ".backup" and shutil.which("sqlite3") is None:
        # The program is the same call of the same library.
        with contextlib.closing(sqlite3.connect(backup / "metachat.db")) as target:
            async with busy(url, data):
                await asyncio.to_thread(_backup, data / "metachat.db", backup / "metachat.db")
            assert target.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    else:
        async with busy(url, data):
            await run(command)
    with contextlib.closing(sqlite3.connect(backup / "metachat.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        saved = connection.execute("SELECT count(*) FROM turns").fetchone()[0]
    assert saved >= 10
    # What was written after the backup is gone with the restore.
    for command in (documented("rm -f"), documented("cp /backup")):
        await run(command.replace(".data/", f"{data}/").replace("/backup/", f"{backup}/"))
    with contextlib.closing(sqlite3.connect(data / "metachat.db")) as connection:
        assert connection.execute("SELECT count(*) FROM turns").fetchone()[0] == saved
    await goes_on(url, data)


def _backup(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source)) as reading,
        contextlib.closing(sqlite3.connect(target)) as writing,
    ):
        reading.backup(writing)


@pytest.mark.postgresql
async def test_postgresql_is_dumped_while_it_runs_and_restored(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    programs = _programs()
    if programs is None:
        pytest.skip("needs pg_dump and pg_restore, which come with PostgreSQL's client programs")
    dump = tmp_path / "metachat.dump"
    async with busy(postgres_url, tmp_path):
        command = documented("pg_dump").replace("pg_dump", f"{programs}/pg_dump", 1)
        await run(command.replace("/backup/metachat.dump", str(dump)).replace("$DATABASE_URL", postgres_url))
    restored = await asyncio.to_thread(postgres_server.create)
    try:
        command = documented("pg_restore").replace("pg_restore", f"{programs}/pg_restore", 1)
        command = command.replace("postgresql://…/metachat_restored", restored)
        await run(command.replace("/backup/metachat.dump", str(dump)))
        await goes_on(restored, tmp_path)
    finally:
        await asyncio.to_thread(postgres_server.drop, restored)


def _programs() -> Path | None:
    """Where the newest client programs are."""
    found: list[Any] = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))
    path = shutil.which("pg_dump")
    if found:
        return Path(found[-1]).parent
    return (
        Path(path).parent
        if path and subprocess.run([path, "--version"], check=False).returncode == 0
        else None
    )
