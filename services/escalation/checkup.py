"""What `metachat doctor` asks of the database (`python -m services.escalation.checkup`), a line a finding.

It changes nothing. It is a process of its own, because only escalation opens the database.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from services.common.errors import ServiceError
from services.common.installation import Installation
from services.common.settings import EnvironmentReader, SettingsError
from services.escalation.secrets.box import SecretBox, SecretUnreadable, key_id_of
from services.escalation.secrets.stored import every_secret
from services.escalation.store.database import Database
from services.escalation.store.opening import database_for, parse_url
from services.escalation.store.schema import channels, events, outbox

OK: Final = "ok"
WARNING: Final = "warning"
FAULT: Final = "fault"
_SKEW_SECONDS: Final = 5.0
_RECENT: Final = timedelta(days=7)
_MIGRATIONS: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is (OK, WARNING, FAULT), and in one line what it says and what to do."""

    name: str
    state: str
    says: str


async def examine(installation: Installation) -> list[Finding]:
    """All findings about the database of the installation; the first fault may make the others moot."""
    url = installation.database_url.reveal()
    try:
        parsed = parse_url(url)
    except ValueError as error:
        return [Finding("database", FAULT, f"DATABASE_URL: {error}")]
    kind = "PostgreSQL" if parsed.get_backend_name() == "postgresql" else "SQLite"
    if kind == "SQLite" and not Path(parsed.database or "").exists():  # noqa: ASYNC240 - nothing else runs
        says = f"there is no file {parsed.database} yet: the first start makes it (metachat run)"
        return [Finding("database", FAULT, says)]
    database = database_for(url)
    try:
        await database.open()
        await database.ping()
    except ServiceError as error:
        says = f"{kind} cannot be reached ({error.detail or error.message}): start it or correct DATABASE_URL"
        return [Finding("database", FAULT, says)]
    try:
        return [Finding("database", OK, f"{kind} answers"), *await _contents(database, installation)]
    except ServiceError as error:
        return [Finding("database", FAULT, f"{kind} cannot be read ({error.detail or error.message})")]
    finally:
        await database.close()


async def _contents(database: Database, installation: Installation) -> list[Finding]:
    revision = await database.read(_revision)
    head = head_revision()
    if revision != head:
        what = "no tables" if revision is None else f"revision {revision}"
        says = f"it has {what}, this version needs {head}: start escalation, which brings it up to date"
        if revision is not None and revision > head:
            says = f"it has {what}, newer than this version's {head}: install the version that made it"
        return [Finding("revision", FAULT, says)]
    found = [Finding("revision", OK, f"{revision}, the newest")]
    found += await database.read(_clock)
    found += await database.read(_channels)
    if installation.secret_key:
        box = SecretBox(installation.secret_key)
        found.append(await database.read(lambda c: _secrets(c, box)))
    return found


def head_revision() -> str:
    """The newest revision that this version knows."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return str(ScriptDirectory.from_config(config).get_current_head())


def _revision(connection: Connection) -> str | None:
    try:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    except SQLAlchemyError:
        return None  # no such table: nothing was ever migrated


def _clock(connection: Connection) -> list[Finding]:
    """Whether this machine's clock agrees with the database's, and with what was stored."""
    here = datetime.now(UTC)
    if connection.dialect.name == "postgresql":
        there: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        skew = (here - there).total_seconds()
        if abs(skew) > _SKEW_SECONDS:
            says = f"this machine is {skew:+.0f} s off the database's clock: let both follow one time server"
            return [Finding("clock", FAULT, says)]
    newest = connection.execute(select(events.c.created_at).order_by(events.c.id.desc()).limit(1)).scalar()
    if newest is not None and (newest - here).total_seconds() > _SKEW_SECONDS:
        when = f"{newest:%Y-%m-%d %H:%M:%S}"
        says = f"the newest event is of {when} UTC, in the future: correct this machine's clock"
        return [Finding("clock", FAULT, says)]
    return [Finding("clock", OK, "agrees with what is stored")]


def _channels(connection: Connection) -> list[Finding]:
    """Accounts that take no messages, and messages of which nobody knows whether they arrived."""
    found = [
        Finding(
            "channel",
            FAULT,
            f"{row.tenant_id}, {row.kind}: {row.attention} ({row.attention_detail[:120] or 'no words'}); its "
            f"messages wait: put it right at Meta, then metachat channels add {row.tenant_id} {row.kind}",
        )
        for row in connection.execute(select(channels).where(channels.c.attention != ""))
    ]
    since = datetime.now(UTC) - _RECENT
    unknown = connection.execute(
        select(outbox.c.tenant_id, func.count())
        .where(outbox.c.state == "delivery_unknown", outbox.c.updated_at >= since)
        .group_by(outbox.c.tenant_id)
    ).all()
    found += [
        Finding(
            "deliveries",
            WARNING,
            f"{tenant_id}: of {count} messages nobody knows whether they arrived: "
            f"metachat deliveries list {tenant_id} --state delivery_unknown",
        )
        for tenant_id, count in unknown
    ]
    return found or [Finding("channels", OK, "no account needs anybody, every delivery of the week is known")]


def _secrets(connection: Connection, box: SecretBox) -> Finding:
    """Whether every stored secret opens, and with which key."""
    lost, old = [], 0
    for one in every_secret(connection):
        old += key_id_of(one.ciphertext) != box.key_id
        try:
            box.open(one.ciphertext, tenant_id=one.tenant_id, name=one.name)
        except SecretUnreadable:
            lost.append(one.words)
    if lost:
        says = (
            f"{len(lost)} stored secrets cannot be opened ({lost[0]}): METACHAT_SECRET_KEY is another "
            "than the one they were stored with; put the old key behind the new one, after a comma"
        )
        return Finding("secrets", FAULT, says)
    if old:
        says = f"{old} stored secrets have an older key: metachat secrets reseal, then it may go"
        return Finding("secrets", WARNING, says)
    return Finding("secrets", OK, "every stored secret can be opened")


def main() -> None:
    """Print the findings; the exit code is always 0."""
    reader = EnvironmentReader(os.environ)
    try:
        installation = Installation.read(reader, needs=frozenset({"database", "secret_key"}))
        reader.finish()
    except SettingsError as error:
        findings = [Finding("environment", FAULT, line) for line in str(error).splitlines()]
    else:
        findings = asyncio.run(examine(installation))
    for finding in findings:
        sys.stdout.write(json.dumps(asdict(finding)) + "\n")


if __name__ == "__main__":
    main()
