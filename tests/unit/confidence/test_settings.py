"""The environment of the confidence service."""

from pathlib import Path

import pytest

from services.common.settings import SettingsError
from services.confidence.settings import Settings


def _environment(folder: Path, **more: str) -> dict[str, str]:
    return {"METACHAT_DATA_FOLDER": str(folder), **more}


def test_defaults(tmp_path: Path) -> None:
    settings = Settings.from_environment(_environment(tmp_path))

    assert (settings.host, settings.port, settings.processes, settings.share_port) == (
        "127.0.0.1",
        50051,
        1,
        False,
    )
    assert settings.installation.internal_token.reveal()


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(
            _environment(tmp_path, CONFIDENCE_PORT="x", CONFIDENCE_PROCESSES="0", LOG_LEVEL="LOUD")
        )

    told = str(refused.value)
    assert all(name in told for name in ("CONFIDENCE_PORT", "CONFIDENCE_PROCESSES", "LOG_LEVEL"))


@pytest.mark.parametrize("more", [{"CONFIDENCE_PORT": "0"}, {"CONFIDENCE_METRICS_PORT": "9100"}])
def test_several_processes_need_a_port_that_they_can_share(tmp_path: Path, more: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(more))):
        Settings.from_environment(_environment(tmp_path, CONFIDENCE_PROCESSES="2", **more))


def test_production_listens_everywhere_and_makes_no_token_up(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="METACHAT_INTERNAL_TOKEN"):
        Settings.from_environment(_environment(tmp_path, METACHAT_ENV="production"))
