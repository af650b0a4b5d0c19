"""What all processes of one installation share: where its data lie, its keys, its database and its broker."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from services.common.queue.topology import MOST_PARTITIONS, Partitions
from services.common.settings import EnvironmentReader, Secret

# Where WhatsApp and Messenger are, unless WHATSAPP_API_BASE_URL or MESSENGER_API_BASE_URL say otherwise.
META_API: Final = "https://graph.facebook.com/v23.0"
# name of the need → (variable, file in the data folder)
_KEYS: Final = {
    "secret_key": ("METACHAT_SECRET_KEY", "secret-key"),
    "internal_token": ("METACHAT_INTERNAL_TOKEN", "internal-token"),
    "operator_token": ("METACHAT_OPERATOR_TOKEN", "operator-token"),
}
_NEEDS: Final = frozenset({"database", "queue", *_KEYS})
_MIN_KEY_LENGTH: Final = 24
_DATABASE_SCHEMES: Final = ("sqlite", "postgres", "postgresql")
_BROKER_SCHEMES: Final = ("amqp", "amqps")


@dataclass(frozen=True)
class Installation:
    """The shared part of every process's settings.

    What was not asked for in `needs` is empty. `rabbitmq_url` None = the embedded queue at `queue_path`.
    """

    production: bool
    data_folder: Path
    secret_key: Secret
    internal_token: Secret
    operator_token: Secret
    rabbitmq_url: Secret | None
    database_url: Secret
    partitions: Partitions = field(default_factory=Partitions)

    @property
    def queue_path(self) -> Path:
        """Where the embedded queue lies."""
        return self.data_folder / "queue.db"

    @classmethod
    def read(cls, reader: EnvironmentReader, *, needs: frozenset[str]) -> Installation:
        """Read the environment; faults go to the reader.

        Locally the data folder (`.data`, or METACHAT_DATA_FOLDER) and the keys in it are made on first use,
        safely for several processes that start at once. In production nothing is made up: what is needed
        and missing is a fault. Raises ValueError for an unknown need.
        """
        if unknown := needs - _NEEDS:
            raise ValueError(f"unknown needs: {sorted(unknown)}")
        production = reader.choice("METACHAT_ENV", "local", ("local", "production")) == "production"
        folder = Path(reader.text("METACHAT_DATA_FOLDER", ".data")).expanduser().absolute()
        keys = {need: _key(reader, need, production) for need in _KEYS if need in needs}
        database = (
            _address(reader, "DATABASE_URL", _DATABASE_SCHEMES, production) if "database" in needs else None
        )
        broker = _address(reader, "RABBITMQ_URL", _BROKER_SCHEMES, production) if "queue" in needs else None
        if not production:
            missing = [need for need, key in keys.items() if not key]
            uses_files = ("database" in needs and not database) or ("queue" in needs and not broker)
            if (missing or uses_files) and _make_folder(reader, folder):
                for need in missing:
                    keys[need] = _kept_key(reader, folder / _KEYS[need][1])
        if "database" in needs and not database:
            database = Secret(f"sqlite:///{folder / 'metachat.db'}")
        return cls(
            production=production,
            data_folder=folder,
            secret_key=keys.get("secret_key") or Secret(""),
            internal_token=keys.get("internal_token") or Secret(""),
            operator_token=keys.get("operator_token") or Secret(""),
            rabbitmq_url=broker or None,
            database_url=database or Secret(""),
            partitions=_partitions(reader) if "queue" in needs else Partitions(),
        )


def _partitions(reader: EnvironmentReader) -> Partitions:
    """All processes need the same."""
    count = reader.integer("QUEUE_PARTITIONS", 1, minimum=1, maximum=MOST_PARTITIONS)
    before = reader.integer("QUEUE_PARTITIONS_BEFORE", 0, minimum=0, maximum=MOST_PARTITIONS)
    try:
        return Partitions(count, before)
    except ValueError as error:
        reader.fault(f"QUEUE_PARTITIONS={count} with QUEUE_PARTITIONS_BEFORE={before}: {error}")
        return Partitions()


def _key(reader: EnvironmentReader, need: str, production: bool) -> Secret:
    variable = _KEYS[need][0]
    if production and not reader.is_set(variable):
        reader.fault(f"{variable} is not set: production needs it (make one with: openssl rand -base64 32)")
        return Secret("")
    key = reader.secret(variable)
    if key and len(key.reveal()) < _MIN_KEY_LENGTH:
        reader.fault(f"{variable} is too short: use at least {_MIN_KEY_LENGTH} random characters")
    return key


def _address(
    reader: EnvironmentReader, variable: str, schemes: tuple[str, ...], production: bool
) -> Secret | None:
    address = reader.secret(variable)
    if not address:
        if production:
            reader.fault(f"{variable} is not set: production needs it ({schemes[-1]}://…)")
        return None
    # Never repeat the address in a fault: it carries a password.
    if urlsplit(address.reveal()).scheme.split("+")[0] not in schemes:
        reader.fault(
            f"{variable} has an unknown scheme: it must start with {' or '.join(s + '://' for s in schemes)}"
        )
    return address


def _make_folder(reader: EnvironmentReader, folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # access() says yes to root on a read-only file system: try.
        probe = folder / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        reader.fault(
            f"METACHAT_DATA_FOLDER={str(folder)!r} cannot be written ({error.strerror}): "
            "make it writable or name another folder"
        )
        return False
    return True


def _kept_key(reader: EnvironmentReader, path: Path) -> Secret:
    """Read the key in `path`; make it first where there is none. Of several starts at once one wins, all
    read the same.
    """
    try:
        if not path.exists():
            draft = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)  # unlike rename, fails where another start was first
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        text = path.read_text().strip()
    except OSError as error:
        reader.fault(f"{path} cannot be read ({error.strerror}): correct its permissions or remove it")
        return Secret("")
    if len(text) < _MIN_KEY_LENGTH:
        reader.fault(f"{path} holds no key: remove it, and a new one is made")
    return Secret(text)
