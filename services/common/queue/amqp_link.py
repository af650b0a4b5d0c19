"""One connection to the broker that is made again, with growing pauses, whenever it is lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import aio_pika
from aiormq.abc import AbstractChannel
from aiormq.exceptions import AMQPError
from yarl import URL

from services.common.logs import get_logger
from services.common.queue.port import QueueUnavailable

_log = get_logger(__name__)

_CONNECT_TIMEOUT = 5.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
# Seconds. The library's default of 60 notices a silent network only after three minutes.
_HEARTBEAT = 15

# What the driver raises when the far side is away, the channel was closed or the answer did not come.
DRIVER_ERRORS = (AMQPError, OSError, TimeoutError, RuntimeError, asyncio.InvalidStateError)


class Session:
    """One connection's life: `main` is its channel with publisher confirms; `lost` is set when it ends."""

    def __init__(self, connection: aio_pika.abc.AbstractConnection) -> None:
        self._connection = connection
        self.lost = asyncio.Event()
        self.main: AbstractChannel
        connection.close_callbacks.add(lambda *_: self.lost.set())

    async def prepare(self) -> None:
        self.main = await self.channel()
        # A channel that the broker closed (an exchange somebody deleted) is of no use: begin anew.
        self.main.closing.add_done_callback(lambda _: self.lost.set())

    async def channel(self) -> AbstractChannel:
        """Another channel with confirms on which an unroutable mandatory message raises PublishError."""
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        return await channel.get_underlay_channel()

    async def close(self) -> None:
        self.lost.set()
        await self._connection.close()


class Link:
    """Keeps one session up. `setup` runs on each new session before anybody gets it."""

    def __init__(
        self, url: str, purpose: str, setup: Callable[[Session], Awaitable[None]] | None = None
    ) -> None:
        parsed = URL(url)
        if parsed.scheme not in ("amqp", "amqps") or not parsed.host:
            raise ValueError("the address of RabbitMQ is amqp://user:password@host:port/vhost (or amqps://)")
        if "heartbeat" not in parsed.query:
            parsed = parsed.update_query(heartbeat=str(_HEARTBEAT))
        self._url = parsed
        self._purpose = purpose
        self._setup = setup
        self._session: Session | None = None
        self._failure: Exception | None = None
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"queue-link-{self._purpose}")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._session is not None:
            await _close_quietly(self._session)
            self._session = None

    def current(self) -> Session | None:
        session = self._session
        return None if session is None or session.lost.is_set() else session

    async def session(self) -> Session:
        """The session that is up; waits for a first attempt that is under way, never for a broker known to be
        down: then raises QueueUnavailable."""
        session = self.current()
        if session is not None:
            return session
        if self._task is None:
            raise QueueUnavailable("the queue is not open")
        async with self._changed:
            await self._changed.wait_for(lambda: self.current() is not None or self._failure is not None)
        session = self.current()
        if session is None:
            if isinstance(self._failure, QueueUnavailable):
                raise self._failure
            raise QueueUnavailable(f"RabbitMQ at {self._place} is away: {describe(self._failure)}")
        return session

    async def wait(self) -> Session:
        """The session that is up, whenever that is."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.current() is not None)
        session = self.current()
        return session if session is not None else await self.wait()

    @property
    def _place(self) -> str:
        return f"{self._url.host}:{self._url.port or 5672}"

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                session = await self._connect()
            except Exception as failure:  # a loop boundary: whatever it was, it is tried again
                if self._failure is None:
                    _log.warning(
                        "queue_unavailable", broker=self._place, link=self._purpose, error=describe(failure)
                    )
                self._failure = failure
                await self._announce()
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            _log.info("queue_connected", broker=self._place, link=self._purpose)
            pause = _FIRST_PAUSE
            self._failure = None
            self._session = session
            await self._announce()
            await session.lost.wait()
            _log.warning("queue_lost", broker=self._place, link=self._purpose)
            self._session = None
            await _close_quietly(session)

    async def _connect(self) -> Session:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            connection = await aio_pika.connect(self._url, timeout=_CONNECT_TIMEOUT)
        session = Session(connection)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                await session.prepare()
                if self._setup is not None:
                    await self._setup(session)
        except BaseException:
            await _close_quietly(session)
            raise
        return session

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def describe(failure: BaseException | None) -> str:
    """An error in one line, also those of the driver that have no text."""
    text = " ".join(str(failure).split())
    return f"{type(failure).__name__}: {text}" if text else type(failure).__name__


async def _close_quietly(session: Session) -> None:
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            await session.close()
    except DRIVER_ERRORS as failure:
        _log.debug("queue_close_failed", error=describe(failure))
