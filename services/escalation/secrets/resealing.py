"""Seals stored secrets anew with the first key of METACHAT_SECRET_KEY.

`python -m services.escalation.secrets.resealing`. After it the keys behind the first may go. A process of
its own: only escalation opens the database. Others may go on meanwhile; what they change is theirs.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from services.common.errors import ServiceError
from services.common.installation import Installation
from services.common.settings import EnvironmentReader, SettingsError
from services.escalation.secrets.box import SecretBox, SecretUnreadable, key_id_of
from services.escalation.secrets.stored import Sealed, every_secret
from services.escalation.store.database import Database
from services.escalation.store.opening import database_for

_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many were sealed anew, how many had the first key already, and which cannot be opened."""

    anew: int
    already: int
    unreadable: tuple[str, ...]


async def reseal(database: Database, box: SecretBox) -> Resealed:
    """Seal everything with the box's first key, some at a time. Raises ServiceError."""
    found = await database.read(lambda connection: list(every_secret(connection)))
    old = [one for one in found if key_id_of(one.ciphertext) != box.key_id]
    anew, lost = 0, []
    for start in range(0, len(old), _BATCH):
        done, unreadable = await database.write(partial(_batch, batch=old[start : start + _BATCH], box=box))
        anew += done
        lost += unreadable
    return Resealed(anew, len(found) - len(old), tuple(lost))


def _batch(connection: Connection, batch: list[Sealed], box: SecretBox) -> tuple[int, list[str]]:
    done, unreadable = 0, []
    for one in batch:
        try:
            secret = box.open(one.ciphertext, tenant_id=one.tenant_id, name=one.name)
        except SecretUnreadable:
            unreadable.append(one.words)
            continue
        sealed = box.seal(secret, tenant_id=one.tenant_id, name=one.name)
        done += one.replace(connection, sealed, box.key_id)
    return done, unreadable


async def _run(installation: Installation) -> Resealed:
    box = SecretBox(installation.secret_key)
    database = database_for(installation.database_url.reveal())
    await database.open()
    try:
        return await reseal(database, box)
    finally:
        await database.close()


def main() -> int:
    """Say what was done in a line; 1 where something cannot be opened, 2 where nothing could be tried."""
    reader = EnvironmentReader(os.environ)
    try:
        installation = Installation.read(reader, needs=frozenset({"database", "secret_key"}))
        reader.finish()
        done = asyncio.run(_run(installation))
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except ServiceError as error:
        sys.stderr.write(f"the database cannot be used: {error.detail or error.message}\n")
        return 2
    sys.stdout.write(f"{done.anew} sealed anew, {done.already} had the first key already\n")
    for words in done.unreadable:
        sys.stdout.write(f"cannot be opened with any key of METACHAT_SECRET_KEY: {words}\n")
    return 1 if done.unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
