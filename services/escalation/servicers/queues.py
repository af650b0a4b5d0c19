"""QueueService: translates between the contract and `queues/desk.py`."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage, OutboundMessage
from metachat.escalation.v1 import queue_pb2, queue_pb2_grpc

from services.common.queue.dead_letters import DeadLetter
from services.common.queue.port import Depth, QueueName
from services.escalation.queues.desk import QueueDesk, Wanted
from services.escalation.servicers.requests import tenant_of
from services.escalation.servicers.translation import channel_kind, channel_word

_PAGE: Final = 50
_RAW_BYTES: Final = 64 * 1024
_LATEST: Final = 253_402_300_799  # the last second of the year 9999, beyond which there is no Timestamp
_BODIES: Final[dict[str, type[Message]]] = {
    body.DESCRIPTOR.full_name: body for body in (InboundMessage, OutboundMessage, DeliveryStatus)
}


class QueueServicer(queue_pb2_grpc.QueueServiceServicer):
    """See the contract."""

    def __init__(self, desk: QueueDesk) -> None:
        """Takes the use case."""
        self._desk = desk

    async def ListQueues(
        self, request: queue_pb2.ListQueuesRequest, _context: Any
    ) -> queue_pb2.ListQueuesResponse:
        """See the contract."""
        rows = await self._desk.depths(tenant_of(request.tenant_id))
        rows.sort(key=lambda row: (row[0].tenant_id, row[0].channel, row[0].direction, _partition(row[0])))
        return queue_pb2.ListQueuesResponse(queues=[_depth(name, depth) for name, depth in rows])

    async def ListDeadLetters(
        self, request: queue_pb2.ListDeadLettersRequest, _context: Any
    ) -> queue_pb2.ListDeadLettersResponse:
        """See the contract."""
        letters, total = await self._desk.dead_letters(
            Wanted(
                tenant_id=tenant_of(request.tenant_id),
                channel=channel_word(request.channel),
                direction=request.direction,
                search=request.search,
                limit=request.page_size or _PAGE,
            )
        )
        return queue_pb2.ListDeadLettersResponse(
            dead_letters=[_letter(letter) for letter in letters], total=total
        )

    async def GetDeadLetter(
        self, request: queue_pb2.GetDeadLetterRequest, _context: Any
    ) -> queue_pb2.DeadLetter:
        """See the contract."""
        letter = await self._desk.dead_letter(tenant_of(request.tenant_id), request.dead_letter_id)
        answer = _letter(letter)
        answer.body_json = _json(letter)
        if not answer.body_json:
            answer.body = letter.envelope.body[:_RAW_BYTES]
        return answer

    async def ReplayDeadLetters(
        self, request: queue_pb2.ReplayDeadLettersRequest, _context: Any
    ) -> queue_pb2.ReplayDeadLettersResponse:
        """See the contract."""
        done = await self._desk.replay(
            tenant_of(request.tenant_id), tuple(request.dead_letter_ids), everything=request.all
        )
        return queue_pb2.ReplayDeadLettersResponse(replayed=done.count, missing_ids=done.missing)

    async def DiscardDeadLetters(
        self, request: queue_pb2.DiscardDeadLettersRequest, _context: Any
    ) -> queue_pb2.DiscardDeadLettersResponse:
        """See the contract."""
        done = await self._desk.discard(
            tenant_of(request.tenant_id), tuple(request.dead_letter_ids), everything=request.all
        )
        return queue_pb2.DiscardDeadLettersResponse(discarded=done.count, missing_ids=done.missing)


def _depth(name: QueueName, depth: Depth) -> queue_pb2.QueueDepth:
    return queue_pb2.QueueDepth(
        tenant_id=name.tenant_id,
        channel=channel_kind(name.channel),
        direction=name.direction,
        partition=name.partition,
        ready=depth.ready,
        unacked=depth.unacked,
        delayed=depth.delayed,
        dead_letters=depth.dead_letters,
        oldest_age_seconds=depth.oldest_age_seconds,
    )


def _letter(letter: DeadLetter) -> queue_pb2.DeadLetter:
    queue = letter.queue
    return queue_pb2.DeadLetter(
        id=letter.id,
        tenant_id=queue.tenant_id if queue else "",
        channel=channel_kind(queue.channel if queue else ""),
        direction=queue.direction if queue else "",
        type=letter.envelope.type,
        message_id=letter.envelope.message_id,
        ordering_key=letter.envelope.ordering_key,
        reason=letter.reason,
        tries=min(letter.history.tries, 2**31 - 1),
        first_failure=letter.history.first_failure,
        published_at=_time(letter.published_at),
        dead_at=_time(letter.dead_at),
        body_bytes=len(letter.envelope.body),
    )


def _json(letter: DeadLetter) -> str:
    body = _BODIES.get(letter.envelope.type)
    if body is None:
        return ""
    try:
        return json_format.MessageToJson(body.FromString(letter.envelope.body), ensure_ascii=False)
    except (DecodeError, ValueError, OverflowError):  # ValueError: a timestamp that is no date
        return ""


def _time(seconds: float) -> Timestamp | None:
    if not 0.0 < seconds <= _LATEST:
        return None
    found = Timestamp()
    found.FromMicroseconds(round(seconds * 1e6))
    return found


def _partition(name: QueueName) -> int:
    return -1 if name.partition is None else name.partition
