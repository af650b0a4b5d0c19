from __future__ import annotations

from pathlib import Path

import pytest

from services.common.settings import SettingsError
from services.worker.settings import Settings


def read(folder: Path, **variables: str) -> Settings:
    return Settings.from_environment({"METACHAT_DATA_FOLDER": str(folder), **variables})


def test_the_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert (settings.visibility_timeout, settings.max_retries, settings.prefetch) == (300.0, 3, 5)
    assert settings.most_bytes == 1024 * 1024
    assert (settings.health_port, settings.escalation_address) == (8081, "localhost:50052")
    assert settings.whatsapp_api.startswith("https://graph.facebook.com/")
    assert settings.allow_private_addresses


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    bad = {
        "WORKER_VISIBILITY_TIMEOUT_MS": "soon",
        "WORKER_MAX_RETRIES": "-1",
        "WORKER_PREFETCH": "0",
        "WORKER_BYTES_IN_HAND": "100",
        "WORKER_HEALTH_PORT": "70000",
        "WHATSAPP_API_BASE_URL": "graph.facebook.com",
        "MESSENGER_API_BASE_URL": "ftp://x",
        "LLM_ALLOW_PRIVATE_ADDRESSES": "maybe",
    }
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, **bad)
    assert len(caught.value.faults) == len(bad)
    for name in bad:
        assert any(name in fault for fault in caught.value.faults)


def test_production_allows_no_inside_addresses_unless_told(tmp_path: Path) -> None:
    production = {
        "METACHAT_ENV": "production",
        "RABBITMQ_URL": "amqp://localhost",
        "METACHAT_INTERNAL_TOKEN": "x" * 32,
    }
    assert not read(tmp_path, **production).allow_private_addresses
    assert read(tmp_path, **production, LLM_ALLOW_PRIVATE_ADDRESSES="true").allow_private_addresses


def test_production_needs_its_queue_and_token(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, METACHAT_ENV="production")
    assert {fault.split()[0] for fault in caught.value.faults} == {"RABBITMQ_URL", "METACHAT_INTERNAL_TOKEN"}
