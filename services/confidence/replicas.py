"""Several processes on one port, each started fresh: grpc does not survive a fork."""

import asyncio
import signal
import sys
from collections.abc import Mapping

from services.common.logs import get_logger

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 10.0
_log = get_logger(__name__)


class Replicas:
    """Starts the processes, starts a dead one again after a growing wait, and drains all of them on stop."""

    def __init__(self, count: int, environment: Mapping[str, str]) -> None:
        """environment: that of this process; the replicas get it with their own two variables changed."""
        self._count = count
        self._environment = {**environment, "CONFIDENCE_PROCESSES": "1", "CONFIDENCE_SHARE_PORT": "1"}

    async def run(self, stop: asyncio.Event) -> None:
        """Until stop is set and the last replica has drained."""
        await asyncio.gather(*(self._keep(number, stop) for number in range(self._count)))

    async def _keep(self, number: int, stop: asyncio.Event) -> None:
        wait = _FIRST_WAIT
        while not stop.is_set():
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.confidence", env=self._environment, start_new_session=True
            )
            stopped = asyncio.create_task(stop.wait())
            ended = asyncio.create_task(process.wait())
            try:
                await asyncio.wait({stopped, ended}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
            if stop.is_set():
                if process.returncode is None:
                    process.send_signal(signal.SIGTERM)
                await ended
                return
            _log.warning(
                "replica ended, starting it again", replica=number, code=process.returncode, wait=wait
            )
            await _either(stop, wait)
            wait = min(2 * wait, _LONGEST_WAIT)


async def _either(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
