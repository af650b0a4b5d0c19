"""Shipped fakes: a synchronous view of a servicer, for grpcio-testing, which does not await."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import grpc

from services.common.caller import Caller, calling_as
from services.common.errors import STATUS_KEY, ServiceError, to_status

TESTER = Caller(subject="tester", scopes=frozenset({"INTERNAL"}), tenant_id=None)


class SyncView:
    """Looks like `servicer`, with functions that return instead of being awaited; ServiceError becomes a
    status.

    Handlers run as `caller` on an event loop: the one given, which must be running in another thread (that
    of a store), else a private one in a thread of its own. No access rule and no validation is applied:
    those are the server's. Use it as a context manager, or `close` it.
    """

    def __init__(
        self, servicer: object, *, caller: Caller = TESTER, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        """Wraps the servicer."""
        self._servicer = servicer
        self._caller = caller
        self._thread: threading.Thread | None = None
        if loop is None:
            loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=loop.run_forever, name="sync-view", daemon=True)
            self._thread.start()
        self._loop = loop

    def __enter__(self) -> SyncView:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the private loop; a loop that was given is left alone."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._thread = None

    def __getattr__(self, name: str) -> Callable[[Any, Any], Any]:
        behavior = getattr(self._servicer, name)

        def handle(request: Any, context: Any) -> Any:
            given = _asynchronous(request) if isinstance(request, Iterator) else request
            answer = behavior(given, context)
            if isinstance(answer, AsyncIterator):
                return self._drain(answer, context)
            return self._run(answer, context)

        return handle

    def _drain(self, answers: AsyncIterator[Any], context: Any) -> Iterator[Any]:
        async def step() -> Any:
            return await anext(answers, None)

        # None is the end: after the last answer, and after an error.
        while (answer := self._run(step(), context)) is not None:
            yield answer

    def _run(self, work: Coroutine[Any, Any, Any], context: Any) -> Any:
        async def as_caller() -> Any:
            with calling_as(self._caller):
                return await work

        try:
            return asyncio.run_coroutine_threadsafe(as_caller(), self._loop).result()
        except ServiceError as error:
            _finish(context, error)
            return None


async def _asynchronous(requests: Iterator[Any]) -> AsyncIterator[Any]:
    loop = asyncio.get_running_loop()
    end = object()
    while (request := await loop.run_in_executor(None, next, requests, end)) is not end:
        yield request


def _finish(context: Any, error: ServiceError) -> None:
    """What `abort_with_status` does on a real server; in grpcio-testing aborting drops the status details."""
    status = to_status(error)
    context.set_trailing_metadata(((STATUS_KEY, status.SerializeToString()),))
    context.set_code(next(code for code in grpc.StatusCode if code.value[0] == status.code))
    context.set_details(status.message)
