"""`/health`, `/ready`, `/metrics` of the worker: three routes need no framework and its memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from services.common.lean_imports import without
from services.common.metrics import CONTENT_TYPE, exposition
from services.common.settings import SettingsError

with without("watchfiles"):
    import uvicorn

# State of each dependency by name ("ok", or what is wrong), and whether the worker is ready.
Readiness = Callable[[], Awaitable[tuple[bool, Mapping[str, object]]]]

_JSON: Final = "application/json"


class HealthServer:
    """Serves until it is stopped."""

    def __init__(self, port: int, readiness: Readiness, *, host: str = "0.0.0.0") -> None:  # noqa: S104 - probes come from other hosts
        """`port` 0 = any free one."""
        self._port = port
        self._host = host
        self._readiness = readiness
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; gives the port. Raises SettingsError where it is taken."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
        except OSError as error:
            listener.close()
            raise SettingsError(
                (f"WORKER_HEALTH_PORT={self._port} cannot be used ({error.strerror}): set another",)
            ) from error
        config = uvicorn.Config(
            self._application,
            lifespan="off",
            log_config=None,
            access_log=False,
            log_level="warning",
            ws="none",
            loop="none",
            interface="asgi3",
            proxy_headers=False,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        return int(listener.getsockname()[1])

    async def stop(self) -> None:
        """Close; answers that are under way are finished."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task

    async def _application(self, scope: Mapping[str, Any], _receive: object, send: Any) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = await self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _JSON, orjson.dumps({"error": {"code": "UNIMPLEMENTED", "message": "only GET"}})
        match path:
            case "/health":
                return 200, _JSON, orjson.dumps({"status": "ok"})
            case "/ready":
                ready, states = await self._readiness()
                body = {"status": "ready" if ready else "not ready", "dependencies": states}
                return 200 if ready else 503, _JSON, orjson.dumps(body)
            case "/metrics":
                return 200, CONTENT_TYPE, exposition()
            case _:
                return 404, _JSON, orjson.dumps({"error": {"code": "NOT_FOUND", "message": "no such page"}})


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
