"""Asks a channel's provider who its account is, with the stored token; sends nothing to anybody.

Source: developers.facebook.com, Graph API reference of WhatsApp Business phone numbers and of Pages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import grpc
import orjson
from metachat.chat.v1.chat_pb2 import ConnectionTest, TestChannelRequest
from metachat.escalation.v1.tenant_pb2 import Channel, ListChannelsRequest, ResolveChannelRequest

from services.common.errors import Kind, ServiceError, from_rpc_error, invalid_field
from services.common.logs import get_logger

if TYPE_CHECKING:
    import httpx
    from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceAsyncStub

_log = get_logger(__name__)

_LOOK_SECONDS: Final = 3.0
_ASK_SECONDS: Final = 10.0
_CONNECT: Final = 5.0
_BYTES: Final = 64 * 1024
_SHOWN: Final = 300
# Graph API error codes: limits of calls; token expired or without permission; no such object, or none that
# this token may see.
_LIMITS: Final = frozenset({4, 17, 32, 341, 613, 80007, 130429})
_TOKEN: Final = frozenset({0, 3, 10, 102, 190, 131005, *range(200, 300)})
_UNSEEN: Final = frozenset({100, 803})
_FIELDS: Final[Mapping[int, str]] = {
    Channel.WHATSAPP: "display_phone_number,verified_name",
    Channel.MESSENGER: "name",
}


class ChannelTests:
    """See the module."""

    def __init__(
        self,
        tenants: TenantServiceAsyncStub,
        addresses: Mapping[int, str],
        *,
        seconds: float = _ASK_SECONDS,
    ) -> None:
        """`tenants`: over a channel with the internal token. `addresses`: base address by Channel.Kind, the
        operator's own; `seconds`: for one answer."""
        self._tenants = tenants
        self._addresses = dict(addresses)
        self._seconds = seconds

    async def test(self, request: TestChannelRequest) -> ConnectionTest:
        """What the provider says. Raises ServiceError: NOT_FOUND where the tenant has no such channel."""
        if not request.tenant_id:
            raise invalid_field("tenant_id", "must name the tenant")
        channel = await self._channel(request)
        if not channel.access_token:
            return _refused("unauthorized", "no access token is stored: give the channel its token")
        started = time.monotonic()
        answer = await self._ask(channel)
        answer.milliseconds = (time.monotonic() - started) * 1000
        _log.info("channel tested", tenant=request.tenant_id, ok=answer.ok, code=answer.code)
        return answer

    async def _channel(self, request: TestChannelRequest) -> Channel:
        """The tenant's channel with its token."""
        try:
            listed = await self._tenants.ListChannels(
                ListChannelsRequest(tenant_id=request.tenant_id), timeout=_LOOK_SECONDS
            )
            found = next((one for one in listed.channels if one.kind == request.kind), None)
            if found is not None:
                channel = await self._tenants.ResolveChannel(
                    ResolveChannelRequest(kind=found.kind, account_id=found.account_id), timeout=_LOOK_SECONDS
                )
                if channel.tenant_id == request.tenant_id:
                    return channel
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            if failure.kind is Kind.DEADLINE:
                raise ServiceError(
                    Kind.UNAVAILABLE, "escalation does not answer; try again", detail=failure.detail
                ) from error
            raise failure from error
        name = Channel.Kind.Name(request.kind).lower()
        raise ServiceError(Kind.NOT_FOUND, f"there is no channel {name}", reason="CHANNEL_NOT_FOUND")

    async def _ask(self, channel: Channel) -> ConnectionTest:
        # Tests are rare; the gateway's memory is not for them.
        import httpx

        url = f"{self._addresses[channel.kind]}/{channel.account_id}"
        limits = httpx.Timeout(self._seconds, connect=min(_CONNECT, self._seconds))
        try:
            async with (
                asyncio.timeout(self._seconds),
                # A redirect would take the token along to whoever is there.
                httpx.AsyncClient(timeout=limits, follow_redirects=False) as http,
                http.stream(
                    "GET",
                    url,
                    params={"fields": _FIELDS[channel.kind]},
                    headers={"authorization": f"Bearer {channel.access_token}"},
                ) as response,
            ):
                body = await _read(response)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return _refused("unreachable", f"the provider does not answer ({type(error).__name__})")
        return read_answer(response.status_code, body, secret=channel.access_token)


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _BYTES:
            break
    return bytes(body[:_BYTES])


def read_answer(status: int, body: bytes, *, secret: str) -> ConnectionTest:
    """What the provider said, in the words of the contract; `secret` never shows up in it."""
    document = _json(body)
    if status == 200:
        names = [document.get(field) for field in ("verified_name", "display_phone_number", "name")]
        said = ", ".join(name for name in names if isinstance(name, str) and name)
        if said:
            return ConnectionTest(ok=True, detail=_shown(said, secret))
        return _refused("bad_answer", "the provider answered, but not with the account: check the address")
    error = document.get("error")
    error = error if isinstance(error, dict) else {}
    code = error.get("code")
    message = _shown(str(error.get("message") or f"HTTP {status}"), secret)
    if status == 429 or code in _LIMITS:
        return _refused("rate_limited", f"{message}: try again later")
    if status in (401, 403) or (error and code in _TOKEN):
        return _refused("unauthorized", f"{message}: give the channel a token that is valid")
    if status == 404 or code in _UNSEEN:
        return _refused(
            "unauthorized", f"{message}: check the account's number, and that the token is for this account"
        )
    return _refused("unreachable" if status >= 500 else "bad_answer", message)


def _refused(code: str, detail: str) -> ConnectionTest:
    return ConnectionTest(ok=False, code=code, detail=detail)


def _shown(text: str, secret: str) -> str:
    text = text.replace(secret, "***") if secret else text
    return " ".join(text.split())[:_SHOWN]


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
