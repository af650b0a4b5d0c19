"""The supervisor of a local installation: what it needs and what it can do without."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.supervisor import ProcessSpec, StartFailedError, Supervisor, child_environment


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "stays.py").write_text("import time\ntime.sleep(600)\n")
    (tmp_path / "fails.py").write_text("raise SystemExit(2)\n")
    return {**child_environment(), "PYTHONPATH": str(tmp_path)}


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def test_a_start_fails_with_a_process_that_it_needs(environment: dict[str, str]) -> None:
    supervisor = Supervisor(
        [ProcessSpec("one", "stays", yes), ProcessSpec("two", "fails", no)], environment, print
    )
    with pytest.raises(StartFailedError, match="two ended with exit code 2"):
        await supervisor.start(60)
    await supervisor.stop()


async def test_a_start_goes_on_without_one_that_it_does_not_need(environment: dict[str, str]) -> None:
    said: list[str] = []
    supervisor = Supervisor(
        [ProcessSpec("one", "stays", yes), ProcessSpec("two", "fails", no, needed=False)],
        environment,
        said.append,
    )
    await supervisor.start(60)
    assert said == ["two ended with exit code 2 (see above); the rest runs without it"]
    await supervisor.stop()
