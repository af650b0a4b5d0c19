"""The console process: reads settings, builds everything once, serves pages until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import uvicorn

from services.common.clock import SystemClock
from services.common.grpc_channel import open_channel
from services.common.logs import configure_logging, get_logger
from services.common.process import run
from services.common.settings import Secret, SettingsError
from services.common.telemetry import configure_tracing
from services.console.app import build_app
from services.console.backend import BackEnd
from services.console.calls import CallDesk
from services.console.ended import EndedSessions
from services.console.guesses import Guesses
from services.console.pages import load_pages
from services.console.pages.sign_in import SignInPages
from services.console.session import Lifetime, Seal
from services.console.settings import Settings
from services.console.shell import Shell
from services.console.sign_ins import SignIns

SERVICE: Final = "console"
_log = get_logger(__name__)


class _HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own (services.common.process)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SettingsError that names the variable where the port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        what = "is taken by another process" if taken else f"cannot be bound ({error.strerror})"
        raise SettingsError(
            [
                f"CONSOLE_PORT={port}: port {port} on {host} {what}: "
                "stop what holds it or set CONSOLE_PORT to a free port"
            ]
        ) from error
    listener.setblocking(False)
    return listener


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Build the console and serve until `stop`, then drain."""
    clock = SystemClock()
    installation = settings.installation
    async with contextlib.AsyncExitStack() as stack:
        listener = listen(settings.host, settings.port)
        stack.callback(listener.close)
        port = listener.getsockname()[1]
        # Without a token of their own: each call brings that of whom it is made for.
        escalation = await stack.enter_async_context(
            open_channel(settings.escalation_address, token=Secret(""), attempts=2)
        )
        gateway = await stack.enter_async_context(
            open_channel(settings.gateway_address, token=Secret(""), attempts=1)
        )
        desk = CallDesk(
            escalation, gateway, internal=installation.internal_token, operator=installation.operator_token
        )
        sign_ins = SignIns(
            desk.of_console(),
            installation.operator_token,
            Seal(installation.secret_key),
            Lifetime(settings.idle_seconds, settings.absolute_seconds),
            clock,
            EndedSessions(installation.data_folder, clock.now().timestamp()),
        )
        back_end = BackEnd(escalation)
        # Cookies know no port: two installations on one machine would sign each other out.
        cookie = "__Host-metachat" if settings.secure else f"metachat_{port}"
        stopping = asyncio.Event()
        load_pages()
        app, lifespan = build_app(
            shell=Shell(
                desk, sign_ins, back_end, clock, gateway_url=settings.gateway_url, version=_version()
            ),
            sign_ins=sign_ins,
            sign_in_pages=SignInPages(sign_ins, Guesses(), clock, cookie=cookie, secure=settings.secure),
            back_end=back_end,
            stopping=stopping,
            cookie=cookie,
            url=settings.url,
        )
        await stack.enter_async_context(lifespan.router.lifespan_context(lifespan))
        for work in (back_end.run(), sign_ins.run()):
            stack.push_async_callback(_end, asyncio.create_task(work))
        server = _HttpServer(
            uvicorn.Config(
                app,
                loop="none",
                http="httptools",
                ws="websockets-sansio",
                ws_max_size=2 * 1024 * 1024,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        stack.callback(serving.cancel)
        _log.info("serving", host=settings.host, http_port=port)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        server.should_exit = True
        await serving
        stopped.cancel()
        _log.info("stopped")


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _version() -> str:
    try:
        return version("metachat-mesh")
    except PackageNotFoundError:
        return "0"


async def main(stop: asyncio.Event) -> None:
    """Run with the settings of the environment."""
    settings = Settings.from_environment(os.environ)
    configure_logging(SERVICE, production=settings.installation.production, level=settings.log_level)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # a line for each socket otherwise
    configure_tracing(SERVICE)
    await serve(settings, stop)


if __name__ == "__main__":
    run(SERVICE, main)
