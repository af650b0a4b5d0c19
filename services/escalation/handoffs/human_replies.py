"""What people answer from other tools: the message is recorded, and the assistant is silent from then on."""

from __future__ import annotations

from metachat.escalation.v1 import conversation_pb2

from services.common.clock import Clock
from services.common.logs import get_logger
from services.escalation.store import human_replies as store
from services.escalation.store.database import Database, write_through_races
from services.escalation.turn_desk import Directory
from services.escalation.turns.model import Arrival

_log = get_logger(__name__)


class HumanReplies:
    """Safe to call again with the same message: it is recorded once."""

    def __init__(self, *, database: Database, directory: Directory, clock: Clock) -> None:
        """Takes what it needs."""
        self._database = database
        self._directory = directory
        self._clock = clock

    async def record(self, echo: Arrival) -> conversation_pb2.RecordHumanReplyResponse:
        """Record an answer; `echo` names whom it was written to.

        Raises ServiceError: NOT_FOUND for an unknown tenant, INVALID where nobody is named.
        """
        await self._directory.get(echo.tenant_id)
        answer = await write_through_races(
            self._database, lambda connection: store.record(connection, echo, self._clock.now())
        )
        _log.info(
            "a person answered from another tool", channel=echo.channel, conversation=answer.conversation_id
        )
        return answer
