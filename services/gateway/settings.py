"""What the gateway reads from the environment, once, at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.common.installation import META_API, Installation
from services.common.settings import EnvironmentReader, Secret
from services.gateway.rate_limits import Limits


@dataclass(frozen=True)
class Settings:
    """The gateway's settings; times in seconds."""

    installation: Installation
    # Where it listens; locally only on this machine.
    host: str
    # 0 = any free port.
    http_port: int
    grpc_port: int
    # gRPC targets, dns:///… included.
    escalation_address: str
    confidence_address: str
    # One Meta app per installation; empty: its webhooks are refused.
    meta_app_secret: Secret
    meta_verify_token: Secret
    # With it, an echo of another app counts as a person's answer (Messenger).
    meta_app_id: str
    # Longest time for one webchat answer, the wait for earlier messages included.
    turn_seconds: float
    # Messages a minute at the chat door where a tenant has no limits of its own; 0: no limit.
    limits: Limits
    # Of one client address under one public key: other calls a minute, streams at a time; 0: no limit.
    reads: int
    streams: int
    # Whether there is a page to try the widget on.
    widget_demo: bool
    # Where channels are tested: as the worker sends.
    whatsapp_api: str
    messenger_api: str
    # Whether a tenant's llm.baseUrl may lead to inside addresses.
    allow_private_addresses: bool
    # How long a stopping process waits for the calls in hand.
    drain_seconds: float
    log_level: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises SettingsError with every fault."""
        reader = EnvironmentReader(environment)
        installation = Installation.read(
            reader, needs=frozenset({"queue", "internal_token", "operator_token"})
        )
        everywhere = "0.0.0.0" if installation.production else "127.0.0.1"  # noqa: S104 - callers are elsewhere
        settings = cls(
            installation=installation,
            host=reader.text("GATEWAY_HOST", everywhere),
            http_port=reader.integer("GATEWAY_HTTP_PORT", 8080, minimum=0, maximum=65_535),
            grpc_port=reader.integer("GATEWAY_GRPC_PORT", 50050, minimum=0, maximum=65_535),
            escalation_address=reader.text("ESCALATION_ADDRESS", "localhost:50052"),
            confidence_address=reader.text("CONFIDENCE_ADDRESS", "localhost:50051"),
            meta_app_secret=reader.secret("META_APP_SECRET"),
            meta_verify_token=reader.secret("META_VERIFY_TOKEN"),
            meta_app_id=reader.text("META_APP_ID"),
            turn_seconds=reader.number("GATEWAY_TURN_SECONDS", 35.0, minimum=1, maximum=600),
            limits=Limits(
                tenant=reader.integer("GATEWAY_MESSAGES_PER_MINUTE", 0, minimum=0, maximum=1_000_000),
                conversation=reader.integer(
                    "GATEWAY_MESSAGES_PER_MINUTE_PER_CONVERSATION", 0, minimum=0, maximum=100_000
                ),
                visitor=reader.integer(
                    "GATEWAY_MESSAGES_PER_MINUTE_PER_VISITOR", 120, minimum=0, maximum=100_000
                ),
            ),
            reads=reader.integer("GATEWAY_READS_PER_MINUTE_PER_VISITOR", 1200, minimum=0, maximum=1_000_000),
            streams=reader.integer("GATEWAY_STREAMS_PER_VISITOR", 100, minimum=0, maximum=100_000),
            widget_demo=reader.flag("GATEWAY_WIDGET_DEMO", not installation.production),
            whatsapp_api=reader.address("WHATSAPP_API_BASE_URL", META_API),
            messenger_api=reader.address("MESSENGER_API_BASE_URL", META_API),
            allow_private_addresses=reader.flag("LLM_ALLOW_PRIVATE_ADDRESSES", not installation.production),
            drain_seconds=reader.number("GATEWAY_DRAIN_SECONDS", 40.0, minimum=0, maximum=3600),
            log_level=reader.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        )
        reader.finish()
        return settings
