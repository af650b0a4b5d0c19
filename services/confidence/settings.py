"""What the confidence service reads from the environment, once, at start."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.common.installation import Installation
from services.common.settings import EnvironmentReader


@dataclass(frozen=True)
class Settings:
    """The confidence service's settings; times in seconds."""

    installation: Installation
    host: str
    # 0 = any free port.
    port: int
    # 0 = off.
    metrics_port: int
    # How many processes share the port; each is started fresh.
    processes: int
    # Set for the processes of such a group, by the one that starts them.
    share_port: bool
    # How long a stopping process waits for the calls in hand.
    drain: float
    log_level: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises SettingsError with every fault."""
        reader = EnvironmentReader(environment)
        installation = Installation.read(reader, needs=frozenset({"internal_token", "operator_token"}))
        # Locally nobody else on the network should reach a service that trusts a token in a file.
        host = reader.text("CONFIDENCE_HOST", "0.0.0.0" if installation.production else "127.0.0.1")  # noqa: S104
        settings = cls(
            installation=installation,
            host=host,
            port=reader.integer("CONFIDENCE_PORT", 50051, minimum=0, maximum=65_535),
            metrics_port=reader.integer("CONFIDENCE_METRICS_PORT", 0, minimum=0, maximum=65_535),
            processes=reader.integer("CONFIDENCE_PROCESSES", 1, minimum=1, maximum=256),
            share_port=reader.flag("CONFIDENCE_SHARE_PORT", False),
            drain=reader.number("CONFIDENCE_DRAIN_SECONDS", 20.0, minimum=0, maximum=3600),
            log_level=reader.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        )
        if settings.processes > 1 and settings.port == 0:
            reader.fault("CONFIDENCE_PORT=0: several processes need one port that is named")
        if settings.processes > 1 and settings.metrics_port:
            reader.fault(
                "CONFIDENCE_METRICS_PORT: several processes cannot share it; set it to 0 or run one process"
            )
        reader.finish()
        return settings
