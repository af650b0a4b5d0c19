"""Which server a tenant's API key may be sent to: the one it was given for. Pure.

A key is written once and never shown. Whoever could point the base URL elsewhere and have the stored key sent
along would read it there, so the key goes with its server: another scheme, host or port asks for it again.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from metachat.escalation.v1.settings_pb2 import LlmSettings

from services.common.errors import FieldFault, Kind, ServiceError

# Where a responder goes whose tenant names no base URL.
DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
_FIELD: Final = "settings.llm.api_key"
_SENTENCE: Final = "the base URL's host changed, give the key again"
_PORTS: Final = {"http": 80, "https": 443}

Server = tuple[str, str, int]


def server_of(base_url: str) -> Server | None:
    """(scheme, host, port) of a base URL, the default's where it is empty; None for what is no address."""
    try:
        parts = urlsplit(base_url.strip() or DEFAULT_BASE_URL)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    host = (parts.hostname or "").rstrip(".")
    return (parts.scheme, host, port) if host and port else None


def same_server(one: str, other: str) -> bool:
    """Whether two base URLs lead to one server; what is no address leads nowhere."""
    server = server_of(one)
    return one == other or (server is not None and server == server_of(other))


def check_key_stays(current: LlmSettings, changed: LlmSettings, *, stored: bool, given: bool) -> None:
    """Raise ServiceError(INVALID) where a stored key would go to another server than it was given for.

    `stored`: there is a key. `given`: the change brings one of its own, or forgets the old.
    """
    if stored and not given and not same_server(current.base_url, changed.base_url):
        raise ServiceError(
            Kind.INVALID,
            f"{_FIELD}: {_SENTENCE}",
            reason="API_KEY_NEEDED",
            fields=(FieldFault(_FIELD, _SENTENCE),),
        )
