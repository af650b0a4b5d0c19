"""Pooled clients of servers that speak the OpenAI protocol: one for each (base URL, key), few at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
_CLIENTS: Final = 32
_CONNECT: Final = 5.0


class Clients:
    """Lends clients; the least recently used is closed once nobody uses it any more."""

    def __init__(self, *, allow_private: bool, limit: int = _CLIENTS) -> None:
        """Keeps up to `limit` idle and busy clients; more only while all are busy.

        `allow_private`: whether they may connect to addresses inside.
        """
        self._allow_private = allow_private
        self._limit = limit
        self._clients: OrderedDict[str, AsyncOpenAI] = OrderedDict()
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def lend(self, base_url: str, api_key: str) -> AsyncIterator[AsyncOpenAI]:
        """The client of this server and key."""
        # A digest, so that no key lies about as the key of a dictionary.
        name = hashlib.sha256(f"{base_url}\0{api_key}".encode()).hexdigest()
        client = self._clients.get(name)
        if client is None:
            await load()
            # Another draft may have made it while the library was loaded.
            client = self._clients.get(name) or _open(base_url, api_key, allow_private=self._allow_private)
            self._clients[name] = client
        self._clients.move_to_end(name)
        self._users[name] = self._users.get(name, 0) + 1
        try:
            yield client
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
            await self._shrink()

    async def close(self) -> None:
        """Close all of them."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.close()

    async def _shrink(self) -> None:
        idle = [name for name in self._clients if name not in self._users]
        for name in idle[: max(0, len(self._clients) - self._limit)]:
            client = self._clients.pop(name, None)
            if client is not None:
                await client.close()


async def load() -> None:
    """Import the library, off the event loop: it takes half a second and 22 MB, so only who needs it pays."""
    await asyncio.to_thread(_import)


def _import() -> None:
    import openai
    import openai.resources.chat.completions
    import openai.types.chat  # noqa: F401 - loaded for its cost, off the hot path

    import services.assistant.responders.openai_transport  # noqa: F401 - loaded for its cost, off the hot path


def _open(base_url: str, api_key: str, *, allow_private: bool) -> AsyncOpenAI:
    import httpx2
    import openai

    from services.assistant.responders.openai_transport import GuardedTransport

    parts = urlsplit(base_url or DEFAULT_BASE_URL)
    query = dict(parse_qsl(parts.query))
    client = openai.AsyncOpenAI(
        base_url=urlunsplit(parts._replace(query="", fragment="")),
        # Servers without keys still need a word here; without one the library takes the operator's own key
        # from the environment and would send it to the tenant's server.
        api_key=api_key or "none",
        admin_api_key="",
        max_retries=0,
        default_query=query,
        # Azure reads the key from a header of its own.
        default_headers={"api-key": api_key} if (parts.hostname or "").endswith(".azure.com") else None,
        http_client=openai.DefaultAsyncHttpx2Client(
            # A redirect could lead where the base address must not.
            follow_redirects=False,
            timeout=httpx2.Timeout(60.0, connect=_CONNECT),
            transport=GuardedTransport(
                base_url or DEFAULT_BASE_URL,
                allow_private=allow_private,
                limits=httpx2.Limits(max_connections=64, max_keepalive_connections=8, keepalive_expiry=30.0),
            ),
        ),
    )
    # Both would come from the operator's environment.
    client.organization = None
    client.project = None
    return client
