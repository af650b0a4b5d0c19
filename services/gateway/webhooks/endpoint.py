"""The webhook addresses: verify, parse, publish, confirm, 200."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from services.common.caller import current_call
from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger
from services.common.queue.port import QueueUnavailable
from services.common.settings import Secret
from services.gateway.http import read_body
from services.gateway.webhooks.parsed import Parsed, Skipped
from services.gateway.webhooks.publisher import WEBHOOK_ITEMS, Publisher
from services.gateway.webhooks.signature import challenge, signature_fault

MAX_BODY: Final = 3 * 1024 * 1024
# So many skipped items of one call are logged one by one: a call may hold a hundred thousand.
_MAX_NOTED: Final = 20
_log = get_logger(__name__)


class Webhook:
    """One provider's webhook."""

    def __init__(
        self,
        channel: str,
        parse: Callable[[Any], Parsed],
        publisher: Publisher,
        *,
        app_secret: Secret,
        verify_token: Secret,
    ) -> None:
        """`channel`: "whatsapp" or "messenger"; without secret and token every call is refused."""
        self._channel = channel
        self._parse = parse
        self._publisher = publisher
        self._app_secret = app_secret
        self._verify_token = verify_token

    async def verify(self, request: Request) -> Response:
        """The question at set-up (GET): answers the challenge as it is."""
        self._name_call()
        answer = challenge(request.scope["query_string"], self._verify_token.reveal())
        if answer is None:
            reason = "wrong question or token" if self._verify_token else "META_VERIFY_TOKEN is not set"
            _log.warning("webhook verification refused", channel=self._channel, reason=reason)
            raise ServiceError(Kind.FORBIDDEN, "the verify token does not fit", reason="VERIFY_TOKEN")
        return PlainTextResponse(answer)

    async def receive(self, request: Request) -> Response:
        """A call (POST): 200 once everything in it is safe, 503 where it is not, 403 for a bad signature.

        200 too for what can never be read: whatever else it is told, the provider repeats it for days.
        """
        self._name_call()
        try:
            body = await read_body(request.scope, request.receive, MAX_BODY)
        except ServiceError as error:
            if error.kind is Kind.TOO_LARGE:
                self._refused(error.message)
            raise
        signatures = request.headers.getlist("x-hub-signature-256")
        if fault := signature_fault(body, signatures, self._app_secret.reveal()):
            self._refused(fault, bytes=len(body))
            raise ServiceError(Kind.FORBIDDEN, "the signature does not fit", reason="SIGNATURE")
        try:
            payload = read_json(body)
        except ServiceError as error:
            encoding = request.headers.get("content-encoding", "")[:40]
            self._unreadable(error.message, body, encoding)
            return _published(0)
        parsed = self._parse(payload)
        self._note_skipped(parsed.skipped)
        try:
            published = await self._publisher.publish(parsed.items)
        except QueueUnavailable as error:
            _log.error("webhook not accepted: the queue is away", channel=self._channel, detail=str(error))
            raise ServiceError(
                Kind.UNAVAILABLE, "the queue cannot be reached; send it again", reason="QUEUE_AWAY"
            ) from error
        except ServiceError as error:
            # Whatever it was, only a 503 makes the provider send it again.
            _log.error("webhook not accepted", channel=self._channel, detail=error.detail or error.message)
            raise ServiceError(
                Kind.UNAVAILABLE, "not accepted now; send it again", reason="NOT_ACCEPTED"
            ) from error
        return _published(published)

    def _refused(self, reason: str, **more: Any) -> None:
        _log.warning("webhook refused", channel=self._channel, reason=reason, **more)

    def _unreadable(self, reason: str, body: bytes, encoding: str) -> None:
        WEBHOOK_ITEMS.labels(self._channel, "skipped").inc()
        _log.error(
            "webhook cannot be read", channel=self._channel, reason=reason, bytes=len(body), encoding=encoding
        )

    def _note_skipped(self, skipped: Sequence[Skipped]) -> None:
        WEBHOOK_ITEMS.labels(self._channel, "skipped").inc(len(skipped))
        for one in skipped[:_MAX_NOTED]:
            _log.info("webhook item skipped", channel=self._channel, where=one.where, reason=one.reason)
        if len(skipped) > _MAX_NOTED:
            more = len(skipped) - _MAX_NOTED
            _log.warning("further webhook items skipped", channel=self._channel, count=more)

    def _name_call(self) -> None:
        call = current_call()
        if call is not None:
            call.rpc = f"webhook/{self._channel}"


def _published(count: int) -> Response:
    return Response(orjson.dumps({"published": count}), media_type="application/json")


def read_json(body: bytes) -> Any:
    """JSON as the provider may send it: half surrogate pairs, which orjson refuses, included.

    Raises ServiceError(INVALID).
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ServiceError(Kind.INVALID, "body: is not valid JSON", reason="INVALID_JSON") from None
