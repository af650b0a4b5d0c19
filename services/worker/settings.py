"""What the worker reads from the environment, once, at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.common.installation import META_API, Installation
from services.common.queue.port import MOST_BYTES_IN_HAND
from services.common.settings import EnvironmentReader


@dataclass(frozen=True)
class Settings:
    """The worker's settings; times in seconds."""

    installation: Installation
    escalation_address: str
    # A message whose handling takes longer is given back.
    visibility_timeout: float
    # Tries after the first, then dead letter and handoff.
    max_retries: int
    # Messages in hand per queue, and over all queues.
    prefetch: int
    concurrency: int
    # 0 = any free port.
    health_port: int
    # How long a stopping worker goes on with what it has in hand.
    drain: float
    whatsapp_api: str
    messenger_api: str
    allow_private_addresses: bool
    log_level: str
    # Messages a second that one account may send; its provider's own limit.
    whatsapp_rate: float = 80.0
    messenger_rate: float = 40.0
    # Whether customers of channels are shown that their message was read and is being answered.
    typing: bool = True
    # Bytes of message bodies that wait in memory, over all queues; what comes beyond waits outside of it.
    most_bytes: int = MOST_BYTES_IN_HAND

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises SettingsError with every fault."""
        reader = EnvironmentReader(environment)
        installation = Installation.read(reader, needs=frozenset({"queue", "internal_token"}))
        timeout_ms = reader.integer("WORKER_VISIBILITY_TIMEOUT_MS", 300_000, minimum=100, maximum=86_400_000)
        settings = cls(
            installation=installation,
            escalation_address=reader.text("ESCALATION_ADDRESS", "localhost:50052"),
            visibility_timeout=timeout_ms / 1000,
            max_retries=reader.integer("WORKER_MAX_RETRIES", 3, minimum=0, maximum=100),
            prefetch=reader.integer("WORKER_PREFETCH", 5, minimum=1, maximum=1000),
            concurrency=reader.integer("WORKER_CONCURRENCY", 64, minimum=1, maximum=10_000),
            most_bytes=reader.integer(
                "WORKER_BYTES_IN_HAND", MOST_BYTES_IN_HAND, minimum=65_536, maximum=1_073_741_824
            ),
            health_port=reader.integer("WORKER_HEALTH_PORT", 8081, minimum=0, maximum=65_535),
            drain=reader.number("WORKER_DRAIN_SECONDS", 20.0, minimum=0, maximum=3600),
            whatsapp_api=reader.address("WHATSAPP_API_BASE_URL", META_API),
            messenger_api=reader.address("MESSENGER_API_BASE_URL", META_API),
            allow_private_addresses=reader.flag("LLM_ALLOW_PRIVATE_ADDRESSES", not installation.production),
            whatsapp_rate=reader.number("WHATSAPP_MESSAGES_PER_SECOND", 80.0, minimum=0.1, maximum=10_000),
            messenger_rate=reader.number("MESSENGER_MESSAGES_PER_SECOND", 40.0, minimum=0.1, maximum=10_000),
            typing=reader.flag("CHANNEL_TYPING_INDICATOR", True),
            log_level=reader.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        )
        reader.finish()
        return settings
