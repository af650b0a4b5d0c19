"""A disk that is full for a while: units fail meanwhile, and work again once there is room."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import ServiceError
from services.escalation.migrations.upgrade import upgrade
from services.escalation.store.opening import database_for
from tests.integration.store.test_relay import add_tenant


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may be written (EFBIG; Python ignores the signal)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_writes_fail_while_the_disk_is_full_and_work_afterwards(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'metachat.db'}"
    await upgrade(url)
    database = database_for(url)
    await database.open()
    try:
        with full_disk():
            for number in range(3):
                with pytest.raises(ServiceError):
                    await database.write(lambda connection, n=number: add_tenant(connection, f"lost-{n}"))
        await database.write(lambda connection: add_tenant(connection, "kept"))
        kept = await database.read(
            lambda connection: [row[0] for row in connection.exec_driver_sql("SELECT id FROM tenants")]
        )
    finally:
        await database.close()
    assert kept == ["kept"]
