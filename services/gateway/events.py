"""Streams of answers as server-sent events (HTML Living Standard, "Server-sent events")."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

import orjson
from google.protobuf.message import Message

from services.common.errors import ServiceError
from services.gateway.http import Headers, Send, error_object
from services.gateway.json_mapping import MessageCodec

HEARTBEAT_SECONDS: Final = 15.0
# A refusal that comes within this time is a plain HTTP error; later ones are events of the stream.
FIRST_LOOK_SECONDS: Final = 1.0
_RETRY: Final = b"retry: 2000\n\n"
_HEARTBEAT: Final = b": \n\n"
_CURSOR: Final = "cursor"
_RESUME_FIELDS: Final = ("after", "cursor")


def resume(request: Any, last_event_id: str) -> None:
    """Put a browser's Last-Event-ID into the request: it is newer than what stands in its address."""
    if not last_event_id:
        return
    for name in _RESUME_FIELDS:
        if name in request.DESCRIPTOR.fields_by_name:
            setattr(request, name, last_event_id)
            return


def event(codec: MessageCodec, message: Any) -> bytes:
    """One answer as an event; its cursor, if it has one, is the id to resume after. JSON breaks no line."""
    cursor = getattr(message, _CURSOR, "") if _CURSOR in codec.descriptor.fields_by_name else ""
    head = f"id: {cursor}\n".encode() if cursor and cursor.isprintable() else b""
    return head + b"data: " + codec.print(message) + b"\n\n"


def error_event(error: ServiceError) -> bytes:
    """What ended the stream."""
    return b"event: error\ndata: " + orjson.dumps({"error": error_object(error)}) + b"\n\n"


class EventStreams:
    """Sends streams until the caller leaves, the stream ends, or the process stops."""

    def __init__(
        self,
        stopping: asyncio.Event,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        first_look: float = FIRST_LOOK_SECONDS,
    ) -> None:
        """`stopping` ends all streams: their readers come back elsewhere."""
        self._stopping = stopping
        self._heartbeat = heartbeat
        self._first_look = first_look

    async def send(
        self,
        answers: AsyncIterator[Message],
        codec: MessageCodec,
        send: Send,
        gone: asyncio.Task[None],
        headers: Headers,
    ) -> None:
        """Send the answers until `gone`: the caller has left. Raises ServiceError for an early refusal."""
        stopped = asyncio.create_task(self._stopping.wait())
        reading: asyncio.Task[Message | None] = asyncio.create_task(_next(answers))
        try:
            await asyncio.wait(
                {reading, gone, stopped}, timeout=self._first_look, return_when=asyncio.FIRST_COMPLETED
            )
            if reading.done():
                failure = reading.exception()
                if failure is not None:
                    raise failure
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [
                        (b"content-type", b"text/event-stream; charset=utf-8"),
                        (b"cache-control", b"no-store"),
                        (b"x-accel-buffering", b"no"),
                        *headers,
                    ],
                }
            )
            await _part(send, _RETRY)
            while not gone.done() and not stopped.done():
                await asyncio.wait(
                    {reading, gone, stopped},
                    timeout=self._heartbeat,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not reading.done():
                    await _part(send, _HEARTBEAT)
                    continue
                try:
                    answer = reading.result()
                except ServiceError as error:
                    await _part(send, error_event(error))
                    break
                if answer is None:
                    break
                await _part(send, event(codec, answer))
                reading = asyncio.create_task(_next(answers))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            stopped.cancel()
            reading.cancel()
            await asyncio.gather(reading, stopped, return_exceptions=True)
            if isinstance(answers, AsyncGenerator):
                await answers.aclose()


async def _next(answers: AsyncIterator[Message]) -> Message | None:
    return await anext(answers, None)


async def _part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
