"""One try to bring a message to a receiver over HTTP: bounded in time, without redirects."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx

from services.common.clock import Clock
from services.escalation.webhooks.addresses import AddressRefused, outside_address
from services.escalation.webhooks.schedule import Attempt

SECONDS: Final = 10.0
_CONNECTIONS: Final = 64


class Poster:
    """See the module. `open` it inside the running event loop, `close` it after."""

    def __init__(self, clock: Clock, *, allow_private: bool, seconds: float = SECONDS) -> None:
        """`allow_private`: whether addresses inside may be called; `seconds`: for a whole try."""
        self._clock = clock
        self._allow_private = allow_private
        self._seconds = seconds
        self._client: httpx.AsyncClient | None = None

    def open(self) -> None:
        """Make the client; connections are made when they are needed."""
        self._client = httpx.AsyncClient(
            timeout=self._seconds,
            follow_redirects=False,
            # A proxy of the environment would connect on our behalf to what we refuse.
            trust_env=False,
            limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Drop all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float | None = None
    ) -> Attempt:
        """Try once; whatever goes wrong is told in the attempt. `seconds`: a shorter time for this try."""
        started = self._clock.monotonic()
        status, retry_after, error = 0, None, ""
        limit = min(seconds or self._seconds, self._seconds)
        try:
            async with asyncio.timeout(limit):
                status, retry_after = await self._post(url, headers, body)
        except TimeoutError:
            error = f"no answer within {limit:g} s"
        except AddressRefused as refused:
            error = str(refused)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            error = f"{type(failure).__name__}: {failure}"[:300].rstrip(": ")
        if status and not 200 <= status < 300:
            error = f"answered {status}" + (" (redirects are not followed)" if 300 <= status < 400 else "")
        return Attempt(status, error, round((self._clock.monotonic() - started) * 1000, 3), retry_after)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, float | None]:
        if self._client is None:
            raise OSError("the sender is closed")
        target = httpx.URL(url)
        sent = dict(headers)
        extensions = {}
        if not self._allow_private:
            host = target.host
            port = target.port or (443 if target.scheme == "https" else 80)
            sent["host"] = target.netloc.decode("ascii")
            extensions["sni_hostname"] = target.raw_host.decode("ascii")
            target = target.copy_with(host=await outside_address(host, port))
        request = self._client.build_request(
            "POST", target, headers=sent, content=body, extensions=extensions
        )
        response = await self._client.send(request, stream=True)
        try:
            # What the receiver says beyond its status is nobody's business, however long it is.
            return response.status_code, _seconds(response.headers.get("retry-after", ""))
        finally:
            await response.aclose()


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 9 else None
