"""Builds and runs a gRPC server: the same health, reflection, limits, checks and drain for every service."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection

from services.common import grpc_health
from services.common.access import AccessPolicy, rules_of
from services.common.grpc_pipeline import Drain, Method
from services.common.logs import get_logger
from services.common.settings import SettingsError

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Registration:
    """A servicer and the generated function that adds it (`add_ConfidenceServiceServicer_to_server`).

    Its functions are `async def`, and `async def` with `yield` where the response is a stream (not
    `context.write`).
    """

    servicer: object
    add: Callable[[Any, Any], None]


@dataclass(frozen=True, slots=True)
class Served:
    """One service as it is registered: its full name and the handlers of its RPCs, by method name."""

    name: str
    handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]


class GrpcServer:
    """A server, built by `build_server` and not started yet."""

    def __init__(
        self,
        server: grpc.aio.Server,
        *,
        services: Sequence[str],
        address: tuple[str, int],
        port_variable: str,
        shared: bool,
        drain: Drain,
        drain_seconds: float,
        notice_seconds: float,
    ) -> None:
        """See `build_server`."""
        self._server = server
        self._host, self._port = address
        self._port_variable = port_variable
        self._shared = shared
        self._drain = drain
        self._drain_seconds = drain_seconds
        self._notice_seconds = notice_seconds
        self.services = tuple(services)
        self.health = grpc_health.HealthServicer(services)
        grpc_health.add_to_server(self.health, server)
        names = (*services, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)

    @property
    def port(self) -> int:
        """The port in use, once started; 0 before, if any free one was asked for."""
        return self._port

    async def start(self) -> int:
        """Listen and serve; gives the port. Raises SettingsError, naming the variable, where the port
        cannot be had.
        """
        if self._port:
            self._check_free()
        address = f"[{self._host}]" if ":" in self._host else self._host
        try:
            bound = self._server.add_insecure_port(f"{address}:{self._port}")
        except RuntimeError as error:
            raise self._refusal("cannot be bound") from error
        await self._server.start()
        self._port = bound
        _log.info("serving", host=self._host, port=bound, services=",".join(self.services))
        return bound

    async def stop(self) -> None:
        """Drain: say NOT_SERVING, give clients time to turn away, end watches, wait for the calls in hand."""
        self.health.set_serving(False)
        await asyncio.sleep(self._notice_seconds)
        self._drain.end_streams()
        self.health.close()
        await self._server.stop(self._drain_seconds)

    async def serve_until_stopped(self, stop: asyncio.Event) -> None:
        """Wait for `stop`, then drain. Call `start` first."""
        await stop.wait()
        await self.stop()
        _log.info("stopped", port=self._port)

    def _check_free(self) -> None:
        """Try the port with a socket of our own: grpc's error says only that it failed, and prints it
        twice.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._shared:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                probe.bind((self._host, self._port))
                if not self._shared:  # a shared socket that listened would take connections from the others
                    probe.listen(1)
            except OSError as error:
                what = "is taken by another process" if error.errno == errno.EADDRINUSE else _plain(error)
                raise self._refusal(what) from error

    def _refusal(self, what: str) -> SettingsError:
        return SettingsError(
            [
                f"{self._port_variable}={self._port}: port {self._port} on {self._host} {what}: "
                f"stop what holds it or set {self._port_variable} to a free port"
            ]
        )


def build_server(
    *,
    port: int,
    servicers: Sequence[Registration],
    access: AccessPolicy,
    host: str = "0.0.0.0",  # noqa: S104 - services are called from other hosts; local mode passes 127.0.0.1
    port_variable: str = "PORT",
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    drain_seconds: float = 20.0,
    notice_seconds: float = 0.5,
    share_port: bool = False,
) -> GrpcServer:
    """Build a server inside the running event loop; nothing listens yet.

    `port` 0 = any free one. `port_variable`: named when the port is taken. `share_port`: several processes
    may listen on it (SO_REUSEPORT); without it a second one is refused. `drain_seconds`: how long `stop`
    waits for calls in hand; `notice_seconds`: how long NOT_SERVING is shown before new calls are refused.
    Raises MissingRule for an RPC without an access rule and TypeError for one that its servicer cannot
    serve.
    """
    if not servicers:
        raise ValueError("a server needs at least one servicer")
    drain = Drain()
    server = grpc.aio.server(
        options=(
            ("grpc.so_reuseport", int(share_port)),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            # Clients ping idle connections (grpc_channel) more often than the default allows.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        )
    )
    names: list[str] = []
    for registration in servicers:
        served = _collect(registration)
        names.append(served.name)
        descriptor = descriptor_pool.Default().FindServiceByName(served.name)
        rules = rules_of(descriptor)
        handlers = {
            name: Method(descriptor.methods_by_name[name], rules[name], handler, access, drain).handler
            for name, handler in served.handlers.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(served.name, handlers),))
    return GrpcServer(
        server,
        services=names,
        address=(host, port),
        port_variable=port_variable,
        shared=share_port,
        drain=drain,
        drain_seconds=drain_seconds,
        notice_seconds=notice_seconds,
    )


class _Recorder:
    """Stands where the generated code expects a server, and keeps what it is given."""

    def __init__(self) -> None:
        self.served: Served | None = None

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Older form of the same registration: not needed."""

    def add_registered_method_handlers(
        self, name: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self.served = Served(name, handlers)


def _collect(registration: Registration) -> Served:
    recorder = _Recorder()
    registration.add(registration.servicer, recorder)
    if recorder.served is None:
        raise TypeError(
            f"{registration.add!r} registers nothing: pass add_…Servicer_to_server of generated code"
        )
    return recorder.served


def _plain(error: OSError) -> str:
    return f"cannot be bound ({os.strerror(error.errno).lower() if error.errno else error})"
