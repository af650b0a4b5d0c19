"""What the escalation service reads from the environment, once, at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.common.installation import Installation
from services.common.settings import EnvironmentReader

PORT_VARIABLE: Final = "ESCALATION_PORT"
METRICS_VARIABLE: Final = "ESCALATION_METRICS_PORT"
_NEEDS: Final = frozenset({"database", "queue", "secret_key", "internal_token", "operator_token"})


@dataclass(frozen=True)
class Settings:
    """The escalation service's settings; times in seconds."""

    installation: Installation
    # Where it listens; 0 = any free port.
    port: int
    host: str
    # The confidence service, and how long one call of it may take before the policy goes on without a score.
    confidence_address: str
    confidence_timeout: float
    # False: replies go out unscored, for every tenant.
    escalation_enabled: bool
    # 0 = no metrics.
    metrics_port: int
    # How long a stopping process goes on with the calls in hand.
    drain: float
    # How long a starting process waits for a database server that is not up yet.
    database_wait: float
    log_level: str
    # How often a tenant's data are looked through for what is older than it keeps them.
    retention_interval: float = 3600.0
    # A person who answers from another tool and then says nothing for so long has left; None: never.
    elsewhere_silence: timedelta | None = timedelta(hours=12)
    # Whether webhooks may be sent to addresses inside: loopback, private and link-local ones.
    webhook_allow_private: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises SettingsError with every fault."""
        reader = EnvironmentReader(environment)
        installation = Installation.read(reader, needs=_NEEDS)
        default_host = "0.0.0.0" if installation.production else "127.0.0.1"  # noqa: S104 - behind the mesh
        hours = reader.number("ANSWERED_ELSEWHERE_HOURS", 12.0, minimum=0, maximum=8760)
        settings = cls(
            installation=installation,
            port=reader.integer(PORT_VARIABLE, 50052, minimum=0, maximum=65_535),
            host=reader.text("ESCALATION_HOST", default_host),
            confidence_address=reader.text("CONFIDENCE_ADDRESS", "localhost:50051"),
            confidence_timeout=reader.integer("CONFIDENCE_TIMEOUT_MS", 1000, minimum=10, maximum=60_000)
            / 1000,
            escalation_enabled=reader.flag("ENABLE_CONFIDENCE_ESCALATION", True),
            metrics_port=reader.integer(METRICS_VARIABLE, 0, minimum=0, maximum=65_535),
            drain=reader.number("ESCALATION_DRAIN_SECONDS", 20.0, minimum=0, maximum=3600),
            database_wait=reader.number("DATABASE_WAIT_SECONDS", 30.0, minimum=0, maximum=3600),
            log_level=reader.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
            elsewhere_silence=timedelta(hours=hours) if hours else None,
            webhook_allow_private=reader.flag("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", not installation.production),
            retention_interval=reader.number("RETENTION_INTERVAL_SECONDS", 3600.0, minimum=1, maximum=86_400),
        )
        reader.finish()
        return settings
