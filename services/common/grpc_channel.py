"""Opens channels to other services: load balancing, health, retries, deadlines, token and trace in one place.

No interceptors: grpc.aio starts a task for every intercepted call. The calls of the channel are wrapped
instead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Final

import grpc

from services.common import telemetry
from services.common.caller import REQUEST_ID, current_call
from services.common.settings import Secret

DEFAULT_TIMEOUT: Final = 5.0
# A stream is cut now and then on purpose, so that no connection outlives a change of topology.
STREAM_TIMEOUT: Final = 3600.0
MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
# What a hop keeps of the time it was given, for the way back.
_MARGIN_SHARE: Final = 0.02
_MARGIN_MINIMUM: Final = 0.005

Metadata = Sequence[tuple[str, str | bytes]]


def open_channel(
    address: str,
    *,
    token: Secret,
    service_name: str = "",
    timeout: float = DEFAULT_TIMEOUT,
    stream_timeout: float = STREAM_TIMEOUT,
    attempts: int = 4,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> grpc.aio.Channel:
    """A channel for generated stubs; open it inside the running event loop.

    `address`: a gRPC target ("localhost:50051", "dns:///confidence:50051"). `token`: sent as bearer unless
    the call's own metadata has `authorization` (a door that passes its caller's token on). `service_name`:
    full name of the service whose health decides whether a replica is used; empty = no health check.
    `attempts`: tries in all when a replica is UNAVAILABLE, with jittered backoff (1 = no retry).

    Every call gets a deadline, in seconds: its own `timeout=` or the default, and never more than what is
    left of the call being served, less a margin for the way back. With nothing left it fails at once as
    DEADLINE_EXCEEDED.
    """
    channel = grpc.aio.insecure_channel(
        address,
        options=(
            ("grpc.service_config", json.dumps(service_config(service_name, attempts))),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            # Two channels of one process are two connections: behind a shared port they may reach two
            # processes.
            ("grpc.use_local_subchannel_pool", 1),
        ),
    )
    return _Channel(channel, token, timeout, stream_timeout)


def service_config(service_name: str, attempts: int) -> dict[str, Any]:
    """The service config of a channel (JSON form, grpc/service_config.proto)."""
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if service_name:
        config["healthCheckConfig"] = {"serviceName": service_name}
    if attempts > 1:
        config["methodConfig"] = [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": attempts,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
        # When most calls fail, stop trying each of them four times.
        config["retryThrottling"] = {"maxTokens": 100, "tokenRatio": 0.1}
    return config


def budget(wanted: float, deadline: float | None, now: float) -> float:
    """Seconds a nested call may take: `wanted`, bounded by what is left until `deadline` less a margin;
    never below 0.
    """
    if deadline is None:
        return wanted
    left = deadline - now
    return max(0.0, min(wanted, left - max(_MARGIN_MINIMUM, left * _MARGIN_SHARE)))


class _Call:
    """One RPC of the channel: adds deadline and metadata, then calls."""

    __slots__ = ("_bearer", "_inner", "_timeout")

    def __init__(self, inner: Any, bearer: tuple[str, str] | None, timeout: float) -> None:
        self._inner = inner
        self._bearer = bearer
        self._timeout = timeout

    def __call__(
        self,
        request: Any = None,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        **options: Any,
    ) -> Any:
        call = current_call()
        seconds = budget(
            self._timeout if timeout is None else timeout,
            None if call is None else call.deadline,
            time.monotonic(),
        )
        if seconds <= 0:
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.aio.Metadata(),
                grpc.aio.Metadata(),
                details="no time was left for this call",
            )
        return self._inner(request, timeout=seconds, metadata=self._metadata(metadata), **options)

    def _metadata(self, given: Metadata | None) -> tuple[tuple[str, str | bytes], ...]:
        added: list[tuple[str, str | bytes]] = list(given or ())
        present = {key for key, _ in added}
        if self._bearer is not None and "authorization" not in present:
            added.append(self._bearer)
        if "traceparent" not in present and (trace := telemetry.traceparent()):
            added.append(("traceparent", trace))
        call = current_call()
        if call is not None and call.request_id and REQUEST_ID not in present:
            added.append((REQUEST_ID, call.request_id))
        return tuple(added)


class _Channel(grpc.aio.Channel):
    """A channel whose calls are wrapped."""

    def __init__(self, inner: grpc.aio.Channel, token: Secret, timeout: float, stream_timeout: float) -> None:
        self._inner = inner
        self._bearer = ("authorization", f"Bearer {token.reveal()}") if token else None
        self._timeout = timeout
        self._stream_timeout = stream_timeout

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Call(self._inner.unary_unary(*arguments, **options), self._bearer, self._timeout)

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return _Call(self._inner.stream_unary(*arguments, **options), self._bearer, self._stream_timeout)

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Call(self._inner.unary_stream(*arguments, **options), self._bearer, self._stream_timeout)

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return _Call(self._inner.stream_stream(*arguments, **options), self._bearer, self._stream_timeout)

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> _Channel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
