"""The webhook addresses: verify, parse, publish, confirm, 200."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from services.gateway.webhooks.parsed import Parsed
from services.gateway.webhooks.publisher import WEBHOOK_ITEMS, Publisher
from services.gateway.webhooks.signature import challenge, signature_fits

MAX_BODY: Final = 3 * 1024 * 1024
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
        """A call (POST): 200 once everything in it is safe, 503 where it is not, 403 for a bad signature."""
        self._name_call()
        body = await read_body(request.scope, request.receive, MAX_BODY)
        if not signature_fits(
            body, request.headers.get("x-hub-signature-256", ""), self._app_secret.reveal()
        ):
            reason = "signature does not fit" if self._app_secret else "META_APP_SECRET is not set"
            _log.warning("webhook refused", channel=self._channel, reason=reason, bytes=len(body))
            raise ServiceError(Kind.FORBIDDEN, "the signature does not fit", reason="SIGNATURE")
        parsed = self._parse(read_json(body))
        for skipped in parsed.skipped:
            WEBHOOK_ITEMS.labels(self._channel, "skipped").inc()
            _log.info(
                "webhook item skipped", channel=self._channel, where=skipped.where, reason=skipped.reason
            )
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
        return Response(orjson.dumps({"published": published}), media_type="application/json")

    def _name_call(self) -> None:
        call = current_call()
        if call is not None:
            call.rpc = f"webhook/{self._channel}"


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
