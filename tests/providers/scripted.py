"""A small HTTP/1.1 server that does as it is told, good and bad; runs in a thread of its own on a free port.

Sockets and not a framework: half an answer, a reset connection and bytes that are no HTTP are in the script.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """What a client sent; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What the server does with a request.

    `delay`: seconds before the answer. `cut`: send only so many bytes of the body, then reset. `raw`: these
    bytes instead of an HTTP answer. `reset`: "reading" = before the request is read, "answering" = after it.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None
    raw: bytes | None = None
    reset: str = ""

    @classmethod
    def of(cls, document: object, status: int = 200, **options: Any) -> Reply:
        return cls(status, json.dumps(document).encode(), **options)


Behaviour = Callable[[Request], Reply] | Reply


class ScriptedServer:
    """Answers with what the script says next, else with `answer`; keeps every request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._script: deque[Behaviour] = deque()
        self._otherwise: Behaviour | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def answer(self, request: Request) -> Reply:
        """What is answered when nothing is scripted."""
        return Reply(404)

    def aside(self, request: Request) -> Reply | None:
        """The answer to a request that is neither kept nor scripted; None: it is one like all others."""
        return None

    def _next(self, request: Request) -> Reply:
        self.requests.append(request)
        otherwise = self._otherwise or self.answer
        behaviour = self._script.popleft() if self._script else otherwise
        return behaviour if isinstance(behaviour, Reply) else behaviour(request)

    def always(self, behaviour: Behaviour) -> None:
        """Answer this from now on, instead of `answer`, when nothing is scripted."""
        self._otherwise = behaviour

    def clear(self) -> None:
        """Forget what is scripted and not used."""
        self._script.clear()

    def script(self, *behaviours: Behaviour) -> None:
        """The next requests get these, one each, in order."""
        self._script.extend(behaviours)

    def forget_script(self) -> None:
        """What was scripted and not asked for is not answered any more."""
        self._script.clear()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, count: int, seconds: float = 10.0) -> list[Request]:
        """The requests once there are so many. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while len(self.requests) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.requests)} of {count} requests came")
            time.sleep(0.01)
        return self.requests

    def start(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = self._script[0] if self._script else None
            if isinstance(head, Reply) and head.reset == "reading":
                self._script.popleft()
                _reset(writer)
                return
            request = await _read(reader)
            if request is None:
                return
            reply = self.aside(request) or self._next(request)
            if reply.delay:
                await asyncio.sleep(reply.delay)
            if reply.reset:
                _reset(writer)
                return
            if reply.raw is not None:
                writer.write(reply.raw)
                await writer.drain()
                return
            headers = {"content-type": "application/json"} | reply.headers
            headers["content-length"] = str(len(reply.body))
            lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in headers.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode() + reply.body[: reply.cut])
            await writer.drain()
            if reply.cut is not None:
                _reset(writer)
                return


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
