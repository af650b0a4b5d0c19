"""The whole escalation service on a free port, beside a confidence service that says what a test tells it
to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from metachat.access.v1 import access_pb2
from metachat.confidence.v1 import confidence_pb2, confidence_pb2_grpc
from metachat.escalation.v1 import (
    conversation_pb2,
    conversation_pb2_grpc,
    escalation_pb2_grpc,
    handoff_pb2_grpc,
    insight_pb2_grpc,
    tenant_pb2,
    tenant_pb2_grpc,
    webhook_pb2_grpc,
)

from services.common.access import AccessPolicy, StaticTokens
from services.common.clock import FixedClock, SystemClock
from services.common.errors import ServiceError, from_rpc_error
from services.common.grpc_channel import open_channel
from services.common.grpc_server import GrpcServer, Registration, build_server
from services.common.installation import Installation
from services.common.settings import Secret
from services.confidence.held_back import fit
from services.confidence.messages import calibration_message, verdict_of
from services.escalation.composition import open_service
from services.escalation.settings import Settings
from services.escalation.store.database import Database
from services.escalation.store.opening import database_for

INTERNAL = Secret("internal-token-of-this-test")
OPERATOR = Secret("operator-token-of-this-test")
KEY = Secret("the-secret-key-of-this-test-installation")
TENANT = "metrica"
Access = access_pb2.Access

WEBCHAT = tenant_pb2.Channel.WEBCHAT
WHATSAPP = tenant_pb2.Channel.WHATSAPP


@pytest.fixture
def database_url(migrated_url: str) -> str:
    return migrated_url


class ScriptedConfidence(confidence_pb2_grpc.ConfidenceServiceServicer):
    """Scores a reply by the number in it ("score=0.25"), 0.9 without one; finds high stakes in
    "medication".
    """

    def __init__(self) -> None:
        self.requests: list[confidence_pb2.ScoreRequest] = []
        self.fits: list[confidence_pb2.FitCalibrationRequest] = []
        self.hold: asyncio.Event | None = None
        self.version = "scripted-1"

    async def Score(
        self, request: confidence_pb2.ScoreRequest, _context: Any
    ) -> confidence_pb2.ScoreResponse:
        self.requests.append(request)
        if self.hold is not None:
            await self.hold.wait()
        number = re.search(r"score=([01]\.\d+)", request.reply)
        score = float(number.group(1)) if number else 0.9
        return confidence_pb2.ScoreResponse(
            score=score,
            raw_score=score,
            visible_reply=re.sub(r"\s*\[confidence[^\]]*\]", "", request.reply),
            scorer_version=self.version,
            high_stakes="medication" in request.user_message,
            pattern="text",
            calibration=confidence_pb2.CalibrationSummary(version=request.calibration.version or "global"),
            signals=[
                confidence_pb2.Signal(
                    name="hedging",
                    available=True,
                    value=0.5,
                    weight=1.0,
                    contribution=0.1,
                    reason="no hedging",
                    statement="hedges",
                    parameters={"word": "perhaps"},
                )
            ],
        )

    async def BuildInstructions(
        self, request: confidence_pb2.BuildInstructionsRequest, _context: Any
    ) -> confidence_pb2.BuildInstructionsResponse:
        return confidence_pb2.BuildInstructionsResponse(instructions="Assess yourself.", marker_tag="tag123")

    async def ScoreBatch(self, request: Any, _context: Any) -> Any:
        raise NotImplementedError

    async def StreamScores(self, requests: Any, _context: Any) -> Any:
        raise NotImplementedError
        yield

    async def FitCalibration(
        self, request: confidence_pb2.FitCalibrationRequest, _context: Any
    ) -> confidence_pb2.Calibration:
        """Fits as the confidence service does, beside a global map that changes nothing."""
        self.fits.append(request)
        made = fit(
            [verdict_of(verdict) for verdict in request.verdicts],
            lambda raw, _pattern: raw,
            scorer_version=self.version,
        )
        answer = calibration_message(made.calibration)
        answer.figures.update(made.figures)
        answer.note = made.note
        return answer

    async def GetScorer(
        self, request: confidence_pb2.GetScorerRequest, _context: Any
    ) -> confidence_pb2.Scorer:
        return confidence_pb2.Scorer(version=self.version)


@dataclass
class World:
    """A running service. `database` is a second connection to what it stores."""

    address: str
    database: Database
    confidence: ScriptedConfidence
    confidence_server: GrpcServer
    clock: FixedClock
    stack: AsyncExitStack
    folder: Path
    channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    def channel(self, token: str) -> grpc.aio.Channel:
        if token not in self.channels:
            channel = open_channel(self.address, token=Secret(token), attempts=1)
            self.stack.push_async_callback(channel.close)
            self.channels[token] = channel
        return self.channels[token]

    def conversations(self, token: str = INTERNAL.reveal()) -> Any:
        return conversation_pb2_grpc.ConversationServiceStub(self.channel(token))

    def escalation(self, token: str = INTERNAL.reveal()) -> Any:
        return escalation_pb2_grpc.EscalationServiceStub(self.channel(token))

    def tenants(self, token: str = OPERATOR.reveal()) -> Any:
        return tenant_pb2_grpc.TenantServiceStub(self.channel(token))

    def handoffs(self, token: str = INTERNAL.reveal()) -> Any:
        return handoff_pb2_grpc.HandoffServiceStub(self.channel(token))

    def webhooks(self, token: str = OPERATOR.reveal()) -> Any:
        return webhook_pb2_grpc.WebhookServiceStub(self.channel(token))

    def insights(self, token: str = INTERNAL.reveal()) -> Any:
        return insight_pb2_grpc.InsightServiceStub(self.channel(token))

    async def key(self, *scopes: int, tenant_id: str = TENANT) -> str:
        made = await self.tenants().CreateApiKey(
            tenant_pb2.CreateApiKeyRequest(
                tenant_id=tenant_id,
                name="test",
                scopes=scopes,
                allowed_origins=["https://shop.example"] if Access.PUBLIC in scopes else [],
            )
        )
        token: str = made.token
        return token

    async def configure(self, **settings: Any) -> None:
        await self.tenants().UpdateTenant(tenant_pb2.UpdateTenantRequest(tenant_id=TENANT, settings=settings))

    async def begin(self, text: str = "Where is my parcel?", **fields: Any) -> Any:
        """BeginTurn on webchat unless the fields say otherwise; a message id of its own unless given."""
        fields.setdefault("tenant_id", TENANT)
        fields.setdefault("channel", WEBCHAT)
        fields.setdefault("message_id", f"message-{next(_NUMBERS)}")
        return await self.conversations().BeginTurn(conversation_pb2.BeginTurnRequest(text=text, **fields))

    async def complete(self, begun: Any, reply: str = "It is on its way.", **draft: Any) -> Any:
        """CompleteTurn with this reply."""
        return await self.conversations().CompleteTurn(
            conversation_pb2.CompleteTurnRequest(
                tenant_id=TENANT,
                turn_id=begun.turn_id,
                fence=begun.draft.fence,
                draft=conversation_pb2.Draft(reply=reply, responder="test", **draft),
            )
        )

    async def turn(
        self, text: str = "Where is my parcel?", reply: str = "It is on its way.", **fields: Any
    ) -> Any:
        """A whole turn that asks for a draft."""
        return await self.complete(await self.begin(text, **fields), reply)

    async def whatsapp(self, text: str, message_id: str, address: str = "4911", **fields: Any) -> Any:
        return await self.begin(
            text,
            channel=WHATSAPP,
            message_id=message_id,
            account_id="phone-1",
            contact=conversation_pb2.Contact(address=address),
            **fields,
        )

    async def rows(self, table: Any, *conditions: Any) -> list[dict[str, Any]]:
        query = table.select().where(*conditions).order_by(table.c.id)
        found = await self.database.read(lambda c: c.execute(query).mappings().all())
        return [dict(row) for row in found]

    async def messages(self, conversation_id: str, token: str = INTERNAL.reveal(), **fields: Any) -> Any:
        return await self.conversations(token).ListMessages(
            conversation_pb2.ListMessagesRequest(conversation_id=conversation_id, tenant_id=TENANT, **fields)
        )

    async def stop_confidence(self) -> None:
        await self.confidence_server.stop()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait for what another process or task brings about; TimeoutError when it does not."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - there is no event: it happens elsewhere
            await asyncio.sleep(0.01)


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_NUMBERS = _numbers()


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with running(database_url, tmp_path) as world:
        await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=TENANT, name="Metrica"))
        await world.tenants().PutChannel(
            tenant_pb2.PutChannelRequest(
                tenant_id=TENANT, kind=WHATSAPP, account_id="phone-1", access_token="a secret"
            )
        )
        yield world


@asynccontextmanager
async def running(
    database_url: str, folder: Path, *, installed: Mapping[str, Any] | None = None, **changes: Any
) -> AsyncIterator[World]:
    """The service on this database; `changes` to its settings, `installed` to the installation's."""
    async with AsyncExitStack() as stack:
        confidence = ScriptedConfidence()
        confidence_server = build_server(
            port=0,
            host="127.0.0.1",
            notice_seconds=0,
            drain_seconds=0,
            access=AccessPolicy((StaticTokens(internal=INTERNAL, operator=OPERATOR),)),
            servicers=(
                Registration(confidence, confidence_pb2_grpc.add_ConfidenceServiceServicer_to_server),
            ),
        )
        confidence_port = await confidence_server.start()
        stack.push_async_callback(confidence_server.stop)
        installation = Installation(
            **{
                "production": False,
                "data_folder": folder,
                "secret_key": KEY,
                "internal_token": INTERNAL,
                "operator_token": OPERATOR,
                "rabbitmq_url": None,
                "database_url": Secret(database_url),
                **(installed or {}),
            }
        )
        settings = Settings(
            **{
                "installation": installation,
                "port": 0,
                "host": "127.0.0.1",
                "confidence_address": f"127.0.0.1:{confidence_port}",
                "confidence_timeout": 5.0,
                "escalation_enabled": True,
                "metrics_port": 0,
                "drain": 0.0,
                "database_wait": 0.0,
                "log_level": "INFO",
                **changes,
            }
        )
        # The machine's day, so that the database's own clock and ours agree where a query compares them.
        clock = FixedClock(SystemClock().now())
        server = await stack.enter_async_context(open_service(settings, clock=clock))
        database = database_for(database_url)
        await database.open()
        stack.push_async_callback(database.close)
        yield World(
            f"127.0.0.1:{server.port}",
            database,
            confidence,
            confidence_server,
            clock,
            stack,
            folder,
        )


@asynccontextmanager
async def refused() -> AsyncIterator[list[ServiceError]]:
    """What a call inside was refused with."""
    caught: list[ServiceError] = []
    try:
        yield caught
    except grpc.aio.AioRpcError as error:
        caught.append(from_rpc_error(error))
    assert caught, "the call went through"
