"""Whether ports are free before the start, and whether processes answer after it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import grpc
from grpc_health.v1 import health_pb2


def taken_ports(ports: dict[str, int]) -> list[str]:
    """One line for each variable whose port somebody listens on already, or that may not be used."""
    lines = []
    seen: dict[int, str] = {}
    for variable, port in ports.items():
        if port in seen:
            lines.append(f"{variable} and {seen[port]} are both {port}: give each its own port")
            continue
        seen[port] = variable
        problem = _problem_with(port)
        if problem:
            lines.append(f"port {port} {problem}: stop what uses it or set {variable} to another port")
    return lines


def _problem_with(port: int) -> str:
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - where we listen
        try:
            probe = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        with probe:
            # A port in TIME_WAIT is free for a server; one that is listened on is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((host, port))
            except PermissionError:
                return "may not be used by this user"
            except OverflowError:
                return "is no port number"
            except OSError as error:
                if family == socket.AF_INET6 and error.errno in (99, 97):
                    continue
                return "is taken"
    return ""


def grpc_ready(address: str) -> Callable[[], Coroutine[Any, Any, bool]]:
    """A check that the gRPC server at `address` is SERVING."""

    async def ready() -> bool:
        async with grpc.aio.insecure_channel(address) as channel:
            try:
                check = channel.unary_unary(
                    "/grpc.health.v1.Health/Check",
                    request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                    response_deserializer=health_pb2.HealthCheckResponse.FromString,
                )
                answer = await check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return ready


def http_ready(port: int, path: str, host: str = "127.0.0.1") -> Callable[[], Coroutine[Any, Any, bool]]:
    """A check that GET `path` at `host` and `port` answers 200."""

    async def ready() -> bool:
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)
        except (OSError, TimeoutError):
            return False
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            status = await asyncio.wait_for(reader.readline(), 5)
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        return status.startswith(b"HTTP/1.1 200")

    return ready
