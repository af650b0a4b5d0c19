"""What the escalation service reads from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.settings import SettingsError
from services.escalation.settings import Settings


def test_defaults(tmp_path: Path) -> None:
    settings = Settings.from_environment({"METACHAT_DATA_FOLDER": str(tmp_path)})
    assert (settings.port, settings.host, settings.escalation_enabled) == (50052, "127.0.0.1", True)
    assert (settings.confidence_address, settings.confidence_timeout) == ("localhost:50051", 1.0)
    assert settings.installation.database_url.reveal() == f"sqlite:///{tmp_path / 'metachat.db'}"


def test_all_faults_at_once_in_production() -> None:
    environment = {
        "METACHAT_ENV": "production",
        "ESCALATION_PORT": "http",
        "CONFIDENCE_TIMEOUT_MS": "0",
        "ENABLE_CONFIDENCE_ESCALATION": "perhaps",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment)
    said = "\n".join(caught.value.faults)
    for name in (*environment, "DATABASE_URL", "RABBITMQ_URL", "METACHAT_SECRET_KEY"):
        assert name == "METACHAT_ENV" or name in said
