"""Starts the escalation service: reads its settings, opens everything, serves until it is told to stop."""

from __future__ import annotations

import asyncio
import os

from services.common.logs import configure_logging
from services.common.metrics import serve_metrics
from services.common.process import run
from services.common.settings import SettingsError
from services.common.telemetry import configure_tracing
from services.escalation.composition import open_service
from services.escalation.settings import METRICS_VARIABLE, Settings


async def main(stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then drain. Raises SettingsError."""
    settings = Settings.from_environment(os.environ)
    configure_logging("escalation", production=settings.installation.production, level=settings.log_level)
    configure_tracing("escalation")
    try:
        stop_metrics = serve_metrics(settings.metrics_port)
    except OSError as error:
        raise SettingsError(
            [f"{METRICS_VARIABLE}={settings.metrics_port} cannot be bound ({error.strerror}): choose another"]
        ) from error
    try:
        async with open_service(settings):
            await stop.wait()
    finally:
        stop_metrics()


if __name__ == "__main__":
    run("escalation", main)
