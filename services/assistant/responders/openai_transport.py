"""The wire to a tenant's model: only to addresses that were looked at, and answers of bounded size.

The address that was looked at is the one that is connected to, so that a name server that answers differently
a moment later changes nothing. Where the operator's environment names a proxy (HTTPS_PROXY), the proxy
connects and decides. Imported with the client alone: it costs what the library costs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx2

from services.assistant.responders.addresses import outside_address

# A reply with its tokens takes a fraction of it.
MAX_ANSWER: Final = 4 * 1024 * 1024


class AnswerRefused(Exception):
    """The answer is larger than any reply, or comes packed; the message says which."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """One pool of connections to one provider."""

    def __init__(
        self,
        base_url: str,
        *,
        allow_private: bool,
        limits: httpx2.Limits,
        max_answer: int = MAX_ANSWER,
        look: Callable[[str], Awaitable[str]] = outside_address,
    ) -> None:
        """`allow_private`: whether addresses inside may be called. `max_answer`: bytes of a body.
        `look(url)`: the address to connect to, or AddressRefused.

        Raises OSError where SSL_CERT_FILE or SSL_CERT_DIR, whose authorities are trusted instead of the
        system's, cannot be read.
        """
        proxy = _proxy_of(base_url)
        self._pins = not allow_private and proxy is None
        self._max_answer = max_answer
        self._look = look
        # Of the environment it reads SSL_CERT_FILE and SSL_CERT_DIR alone.
        try:
            self._inner = httpx2.AsyncHTTPTransport(limits=limits, proxy=proxy, trust_env=True)
        except OSError as error:
            raise OSError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error}") from error

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it. Raises AddressRefused, AnswerRefused, and what the network raises."""
        # A packed answer of a few kilobytes may be gigabytes when it is opened.
        request.headers["accept-encoding"] = "identity"
        if self._pins:
            name = request.url.raw_host.decode("ascii")
            address = await self._look(str(request.url))
            # The certificate is still that of the name.
            request.extensions = {**request.extensions, "sni_hostname": name}
            request.url = request.url.copy_with(host=address)
        response = await self._inner.handle_async_request(request)
        packed = response.headers.get("content-encoding", "").strip().lower()
        length = response.headers.get("content-length", "")
        if packed not in ("", "identity"):
            await response.aclose()
            raise AnswerRefused(f"the answer comes packed ({packed[:20]}), which was not asked for")
        if length.isdecimal() and len(length) < 20 and int(length) > self._max_answer:
            await response.aclose()
            raise AnswerRefused(f"the answer is larger than {self._max_answer} bytes")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Bounded(response.stream, self._max_answer)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit: int) -> None:
        self._inner = inner
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._inner:
            seen += len(chunk)
            if seen > self._limit:
                raise AnswerRefused(f"the answer is larger than {self._limit} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def _proxy_of(base_url: str) -> str | None:
    url = httpx2.URL(base_url)
    if proxy_bypass(url.host):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")
