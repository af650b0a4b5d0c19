"""A TCP proxy between two processes of this machine that can be cut, made silent or slowed down."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self

import uvloop

_CHUNK = 65536


class TcpProxy:
    """Listens on a free port of the loopback and passes on to another; runs in a thread of its own.

    `cut`: connections are reset, new ones refused after they are taken. `silent`: they stay open and not a
    byte passes, as behind a network that drops packets. `delay`: seconds before each piece is passed on.
    """

    def __init__(self, target: int) -> None:
        """`target`: the port on 127.0.0.1 that it passes on to."""
        self._target = target
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut = False
        self._delay = 0.0
        self._passing: asyncio.Event | None = None
        self.port = 0

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self._wait(self._listen())
        return self

    def stop(self) -> None:
        """Close everything."""
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def cut(self) -> None:
        """Reset what is open and whatever comes, until `heal`."""
        self._wait(self._begin_cut())

    def silence(self) -> None:
        """Let nothing through either way, until `heal`."""
        self._wait(self._set(passing=False, delay=0.0))

    def slow(self, seconds: float) -> None:
        """Hold each piece back for so long, until `heal`."""
        self._wait(self._set(passing=True, delay=seconds))

    def heal(self) -> None:
        """Pass everything on again; connections that were held go on."""
        self._wait(self._set(passing=True, delay=0.0))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(10)

    async def _listen(self) -> None:
        self._passing = asyncio.Event()
        self._passing.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin_cut(self) -> None:
        assert self._passing is not None
        self._cut = True
        self._passing.set()
        for writer in list(self._open):
            _reset(writer)

    async def _set(self, *, passing: bool, delay: float) -> None:
        assert self._passing is not None
        self._cut = False
        self._delay = delay
        if passing:
            self._passing.set()
        else:
            self._passing.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None and self._passing is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._open.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            await self._passing.wait()
            if self._cut:
                return
            answers, onward = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(onward)
            ways = [
                asyncio.create_task(self._pass(reader, onward)),
                asyncio.create_task(self._pass(answers, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for side in (writer, onward):
                if side is not None:
                    self._open.discard(side)
                    _reset(side)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._passing is not None
        while data := await reader.read(_CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._passing.wait()
            if self._cut:
                return
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and not writer.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
