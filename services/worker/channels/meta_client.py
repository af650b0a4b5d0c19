"""Posts to Meta's Graph API and says what is known about the result."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson

from services.common.lean_imports import without
from services.worker.channels.error_codes import RECONNECT
from services.worker.channels.meta_errors import read_answer
from services.worker.channels.port import Blame, NotSent, Refused, SendResult, Unknown

with without("pygments"):
    import httpx

_TIMEOUT: Final = 20.0
_CONNECT: Final = 5.0
_TELL_TIMEOUT: Final = 3.0
# An idle connection that Meta closes at the moment we write on it leaves a result that nobody knows, so
# connections are kept for bursts only.
_KEEPALIVE: Final = 3.0


class MetaClient:
    """One pool of connections for all channels of a kind."""

    def __init__(self, base_url: str, *, timeout: float = _TIMEOUT) -> None:
        """`timeout`: seconds for one request as a whole."""
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout, connect=min(_CONNECT, timeout)),
            limits=httpx.Limits(
                max_connections=100, max_keepalive_connections=20, keepalive_expiry=_KEEPALIVE
            ),
            follow_redirects=False,
        )

    async def post(self, path: str, body: dict[str, Any], *, token: str) -> SendResult:
        """Send the body once; never raises for what the network or Meta does."""
        if not _fits_a_header(token):
            return NotSent(
                "bad_token",
                "the access token has characters that no token has: enter it anew",
                blame=Blame.ACCOUNT,
                attention=RECONNECT,
            )
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        url = f"{self._base_url}/{path}"
        try:
            async with asyncio.timeout(self._timeout + _CONNECT):
                answer = await self._http.post(url, content=orjson.dumps(body), headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            # No byte of the request was written.
            return NotSent("no_connection", _name(error))
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as error:
            return Refused("bad_request", f"{_name(error)}: {error}".replace(token or "\0", "***"))
        except (httpx.TransportError, httpx.DecodingError) as error:
            return Unknown("no_answer", _name(error))
        except TimeoutError:
            return Unknown("timeout", f"no answer within {self._timeout:g} s")
        return read_answer(answer.status_code, answer.headers, answer.content, secret=token)

    async def tell(self, path: str, body: dict[str, Any], *, token: str) -> bool:
        """Post what may be lost (read, typing), soon or not at all; whether it was taken."""
        if not _fits_a_header(token):
            return False
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        try:
            async with asyncio.timeout(_TELL_TIMEOUT):
                answer = await self._http.post(
                    f"{self._base_url}/{path}", content=orjson.dumps(body), headers=headers
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return False
        return answer.is_success

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _fits_a_header(token: str) -> bool:
    return token.isascii() and token.isprintable()


def _name(error: Exception) -> str:
    return type(error).__name__
