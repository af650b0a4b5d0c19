"""The confidence process: reads settings, builds everything once, serves until it is told to stop."""

import asyncio
import os
import secrets

from metachat.confidence.v1 import confidence_pb2 as pb
from metachat.confidence.v1.confidence_pb2_grpc import add_ConfidenceServiceServicer_to_server

from services.common.access import AccessPolicy, StaticTokens
from services.common.clock import SystemClock
from services.common.grpc_server import Registration, build_server
from services.common.logs import configure_logging
from services.common.metrics import serve_metrics
from services.common.process import run
from services.common.telemetry import configure_tracing
from services.common.validation import warm_up
from services.confidence import coefficients
from services.confidence.replicas import Replicas
from services.confidence.scorer import Scorer
from services.confidence.scoring import ScoreInputs
from services.confidence.servicer import ConfidenceServicer
from services.confidence.settings import Settings

SERVICE = "confidence"


def make_tag() -> str:
    """A fresh marker tag: 64 random bits."""
    return secrets.token_hex(8)


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    loaded = coefficients.load()
    scorer = Scorer(loaded)
    # What is built on first use is built before the first customer waits for it.
    scorer.score(
        ScoreInputs("How does it start?", "Warm. [confidence: high]", passages=("Warm.",), samples=("Cold.",))
    )
    warm_up(pb.ScoreRequest)
    tokens = StaticTokens(
        internal=settings.installation.internal_token, operator=settings.installation.operator_token
    )
    server = build_server(
        host=settings.host,
        port=settings.port,
        port_variable="CONFIDENCE_PORT",
        servicers=[
            Registration(
                ConfidenceServicer(scorer, loaded, SystemClock(), make_tag),
                add_ConfidenceServiceServicer_to_server,
            )
        ],
        access=AccessPolicy([tokens]),
        drain_seconds=settings.drain,
        share_port=settings.share_port,
    )
    stop_metrics = serve_metrics(settings.metrics_port)
    try:
        await server.start()
        await server.serve_until_stopped(stop)
    finally:
        stop_metrics()


async def main(stop: asyncio.Event) -> None:
    """One process, or the group that shares its port."""
    settings = Settings.from_environment(os.environ)
    configure_logging(SERVICE, production=settings.installation.production, level=settings.log_level)
    configure_tracing(SERVICE)
    if settings.processes > 1:
        await Replicas(settings.processes, os.environ).run(stop)
    else:
        await _serve(settings, stop)


if __name__ == "__main__":
    run(SERVICE, main)
