"""What the console reads from the environment, once, at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from services.common.installation import Installation
from services.common.settings import EnvironmentReader

_NEEDS: Final = frozenset({"secret_key", "internal_token", "operator_token"})


@dataclass(frozen=True)
class Settings:
    """The console's settings; times in seconds."""

    installation: Installation
    # Where it listens; locally only on this machine.
    host: str
    # 0 = any free port.
    port: int
    # The address that people type ("https://console.example"); empty: only this machine's names are answered.
    url: str
    # The address that customers' browsers reach the gateway at, for the widget's script tag.
    gateway_url: str
    # gRPC targets, dns:///… included.
    escalation_address: str
    gateway_address: str
    # A session ends after so long without a click, and after so long at all.
    idle_seconds: float
    absolute_seconds: float
    # How long a stopping process waits for the calls in hand.
    drain_seconds: float
    log_level: str

    @property
    def secure(self) -> bool:
        """Whether browsers come by https."""
        return self.url.startswith("https://")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises SettingsError with every fault."""
        reader = EnvironmentReader(environment)
        installation = Installation.read(reader, needs=_NEEDS)
        everywhere = "0.0.0.0" if installation.production else "127.0.0.1"  # noqa: S104 - for browsers elsewhere
        gateway_port = reader.integer("GATEWAY_HTTP_PORT", 8080, minimum=0, maximum=65_535)
        gateway_grpc = reader.integer("GATEWAY_GRPC_PORT", 50050, minimum=0, maximum=65_535)
        settings = cls(
            installation=installation,
            host=reader.text("CONSOLE_HOST", everywhere),
            port=reader.integer("CONSOLE_PORT", 8090, minimum=0, maximum=65_535),
            url=_origin(reader, "CONSOLE_URL", needed=installation.production),
            gateway_url=_origin(reader, "GATEWAY_URL") or f"http://localhost:{gateway_port}",
            escalation_address=reader.text("ESCALATION_ADDRESS", "localhost:50052"),
            gateway_address=reader.text("GATEWAY_ADDRESS", f"localhost:{gateway_grpc}"),
            idle_seconds=reader.number("CONSOLE_IDLE_SECONDS", 8 * 3600.0, minimum=5, maximum=7 * 86_400),
            absolute_seconds=reader.number(
                "CONSOLE_SESSION_SECONDS", 24 * 3600.0, minimum=5, maximum=30 * 86_400
            ),
            drain_seconds=reader.number("CONSOLE_DRAIN_SECONDS", 5.0, minimum=0, maximum=600),
            log_level=reader.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        )
        reader.finish()
        return settings


def _origin(reader: EnvironmentReader, variable: str, *, needed: bool = False) -> str:
    """An http(s) origin without a path, or an empty text."""
    given = reader.text(variable).rstrip("/")
    if not given:
        if needed:
            reader.fault(f"{variable} is not set: production needs it (the address people type, https://…)")
        return ""
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        reader.fault(f"{variable}={given!r} is not an origin: write it as https://console.example")
        return ""
    return given.lower()
