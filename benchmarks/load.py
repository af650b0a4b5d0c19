"""Closed-loop load: so many callers, each with its next call as soon as the last one is answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Figures:
    """What a load gave: calls a second, and latencies in milliseconds."""

    calls: int
    per_second: float
    p50_ms: float
    p99_ms: float


async def drive(call: Callable[[int], Awaitable[object]], *, callers: int, calls: int) -> Figures:
    """Make `calls` calls from `callers` callers; a failed call ends the run with its error."""
    latencies: list[float] = []
    numbers = iter(range(calls))

    async def caller() -> None:
        for number in numbers:
            began = time.perf_counter()
            await call(number)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    elapsed = time.perf_counter() - began
    latencies.sort()
    return Figures(
        calls=calls,
        per_second=calls / elapsed,
        p50_ms=latencies[len(latencies) // 2] * 1e3,
        p99_ms=latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))] * 1e3,
    )


class HttpConnections:
    """Keep-alive HTTP/1.1 connections to one server, as thin as a load generator can be."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        """Calls go to `url`, each with `headers`."""
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST JSON; RuntimeError unless the answer is 200."""
        result: dict[str, Any] = json.loads(await self.post_bytes(json.dumps(body).encode()))
        return result

    async def post_bytes(self, payload: bytes, headers: str = "", *, expect: int = 200) -> bytes:
        """POST these bytes with more headers (whole lines); RuntimeError for another status."""
        while self._idle and self._idle[-1][0].at_eof():
            # The server closes what stood idle.
            self._idle.pop()[1].close()
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        reader, writer = connection
        head = f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\n{self._headers}{headers}"
        writer.write(f"{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = next(
            int(line.split(":", 1)[1])
            for line in answer.split("\r\n")
            if line.lower().startswith("content-length:")
        )
        content = await reader.readexactly(length)
        if f" {expect} " not in answer.split("\r\n", 1)[0]:
            raise RuntimeError(f"{answer.splitlines()[0]}: {content.decode()[:500]}")
        self._idle.append(connection)
        return content

    def close(self) -> None:
        """Close what is idle."""
        for _, writer in self._idle:
            writer.close()
