"""Keys and places that all processes of an installation share."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from services.common.installation import Installation
from services.common.settings import EnvironmentReader, SettingsError

ALL = frozenset({"database", "queue", "secret_key", "internal_token", "operator_token"})
PRODUCTION = {
    "METACHAT_ENV": "production",
    "DATABASE_URL": "postgres://user:hunter2@db/metachat",
    "RABBITMQ_URL": "amqp://user:hunter2@mq/",
    "METACHAT_SECRET_KEY": "s" * 32,
    "METACHAT_INTERNAL_TOKEN": "i" * 32,
    "METACHAT_OPERATOR_TOKEN": "o" * 32,
}


def read(environment: dict[str, str], needs: frozenset[str] = ALL) -> Installation:
    reader = EnvironmentReader(environment)
    installation = Installation.read(reader, needs=needs)
    reader.finish()
    return installation


def faults(environment: dict[str, str], needs: frozenset[str] = ALL) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        read(environment, needs)
    return raised.value.faults


def test_locally_everything_is_made_on_first_use_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "data"
    first = read({"METACHAT_DATA_FOLDER": str(folder)})
    assert first.production is False
    assert first.data_folder == folder
    assert first.database_url.reveal() == f"sqlite:///{folder}/metachat.db"
    assert first.rabbitmq_url is None
    assert first.queue_path == folder / "queue.db"
    keys = {path.name: path for path in folder.iterdir()}
    assert sorted(keys) == ["internal-token", "operator-token", "secret-key"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys.values())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert first.operator_token.reveal() == keys["operator-token"].read_text().strip()
    assert len({first.secret_key.reveal(), first.internal_token.reveal(), first.operator_token.reveal()}) == 3
    assert read({"METACHAT_DATA_FOLDER": str(folder)}) == first


def test_the_default_folder_is_dot_data_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read({}).data_folder == tmp_path / ".data"


def test_what_is_not_needed_is_neither_read_nor_made(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    installation = read({"METACHAT_DATA_FOLDER": str(folder), "DATABASE_URL": "nonsense"}, frozenset())
    assert not folder.exists()
    assert not installation.internal_token and not installation.database_url


def test_given_keys_and_addresses_win_and_no_folder_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    environment = {**PRODUCTION, "METACHAT_ENV": "local", "METACHAT_DATA_FOLDER": str(folder)}
    installation = read(environment)
    assert installation.internal_token.reveal() == "i" * 32
    assert installation.rabbitmq_url is not None
    assert not folder.exists()


def test_production_takes_what_it_is_given(tmp_path: Path) -> None:
    installation = read({**PRODUCTION, "METACHAT_DATA_FOLDER": str(tmp_path / "data")})
    assert installation.production is True
    assert installation.database_url.reveal() == PRODUCTION["DATABASE_URL"]
    assert not (tmp_path / "data").exists()


def test_production_makes_nothing_up_and_names_each_missing_variable(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    found = faults({"METACHAT_ENV": "production", "METACHAT_DATA_FOLDER": str(folder)})
    assert [fault.split()[0] for fault in found] == [
        "METACHAT_SECRET_KEY",
        "METACHAT_INTERNAL_TOKEN",
        "METACHAT_OPERATOR_TOKEN",
        "DATABASE_URL",
        "RABBITMQ_URL",
    ]
    assert not folder.exists()


def test_production_asks_only_for_what_the_process_needs() -> None:
    found = faults({"METACHAT_ENV": "production"}, frozenset({"internal_token"}))
    assert [fault.split()[0] for fault in found] == ["METACHAT_INTERNAL_TOKEN"]


def test_short_keys_and_unknown_schemes_are_refused_without_showing_them() -> None:
    found = faults(
        {
            **PRODUCTION,
            "METACHAT_SECRET_KEY": "hunter2",
            "DATABASE_URL": "mysql://u:hunter2@db/x",
            "RABBITMQ_URL": "hunter2",
        }
    )
    assert [fault.split()[0] for fault in found] == ["METACHAT_SECRET_KEY", "DATABASE_URL", "RABBITMQ_URL"]
    assert "hunter2" not in " ".join(found)


def test_a_folder_that_cannot_be_made_is_one_fault_that_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = faults({"METACHAT_DATA_FOLDER": str(tmp_path / "file" / "data")})
    assert len(found) == 1
    assert found[0].startswith("METACHAT_DATA_FOLDER=") and "make it writable or name another" in found[0]


def test_a_damaged_key_file_is_a_fault_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("")
    (tmp_path / "internal-token").mkdir()
    found = faults({"METACHAT_DATA_FOLDER": str(tmp_path)})
    assert str(tmp_path / "secret-key") in found[0] and "remove it" in found[0]
    assert str(tmp_path / "internal-token") in found[1]


def test_several_starts_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    found: list[Installation] = []
    gate = threading.Barrier(8)

    def start() -> None:
        gate.wait()
        found.append(read({"METACHAT_DATA_FOLDER": str(tmp_path / "data")}))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(installation == found[0] for installation in found)
    assert len(list((tmp_path / "data").iterdir())) == 3


def test_an_unknown_need_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="unknown needs"):
        read({}, frozenset({"databse"}))


def test_partitions_from_several_to_several_are_refused_by_name(tmp_path: Path) -> None:
    environment = {
        "METACHAT_DATA_FOLDER": str(tmp_path),
        "QUEUE_PARTITIONS": "2",
        "QUEUE_PARTITIONS_BEFORE": "3",
    }
    [fault] = faults(environment)
    assert fault.startswith("QUEUE_PARTITIONS=2 with QUEUE_PARTITIONS_BEFORE=3: ") and "3 to 1 first" in fault
