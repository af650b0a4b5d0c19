"""Tells the customer, and colleagues who look, that the agent is typing.

Nobody waits for it and nobody sees it fail: an indicator that is not shown is no loss.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from metachat.escalation.v1.handoff_pb2 import SignalTypingRequest

from services.common.errors import ServiceError
from services.console.calls import Calls

# Where the server does not say, or cannot be asked.
_PAUSE: Final = 5.0
_SECONDS: Final = 3.0


class TypingSignal:
    """Of one agent in one handoff; `typed` at every key, sent as rarely as the server wants it."""

    def __init__(
        self,
        calls: Calls,
        *,
        tenant_id: str,
        handoff_id: str,
        agent: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock`: seconds from anywhere."""
        self._calls = calls
        self._request = SignalTypingRequest(tenant_id=tenant_id, handoff_id=handoff_id, agent=agent)
        self._clock = clock
        self._due = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def typed(self, text: str) -> None:
        """Something was typed, and this stands there now; an empty text is no sign of an answer to come."""
        under_way = self._task is not None and not self._task.done()
        if text.strip() and not under_way and self._clock() >= self._due:
            self._task = asyncio.create_task(self._send(), name="typing-signal")

    async def _send(self) -> None:
        pause = _PAUSE
        try:
            answer = await self._calls.handoffs.SignalTyping(self._request, timeout=_SECONDS)
            pause = answer.again_after.ToMilliseconds() / 1000 or _PAUSE
        except ServiceError:
            pass
        finally:
            self._due = self._clock() + pause
