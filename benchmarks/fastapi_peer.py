"""What other people would write for POST /api/chat: FastAPI, json_format, a call for each step, no batches.

The same turn, the same responders and the same escalation service as the gateway; only the door differs.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header, HTTPException
from google.protobuf import json_format
from metachat.chat.v1.chat_pb2 import ChatRequest
from metachat.escalation.v1.conversation_pb2 import BeginTurnRequest, Contact
from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceStub
from metachat.escalation.v1.knowledge_pb2_grpc import KnowledgeServiceStub
from metachat.escalation.v1.tenant_pb2 import Channel, VerifyApiKeyRequest
from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceStub

from services.assistant.responders.composition import build_responders
from services.assistant.turn import Finished, run_turn
from services.common.grpc_channel import open_channel
from services.common.settings import Secret
from services.gateway.webchat import finished

_REMEMBERED_SECONDS = 1.0


def build() -> FastAPI:
    """The application; ESCALATION_ADDRESS and METACHAT_INTERNAL_TOKEN say where the turns are."""
    parts: dict[str, Any] = {}
    known: dict[str, float] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        channel = open_channel(
            os.environ["ESCALATION_ADDRESS"], token=Secret(os.environ["METACHAT_INTERNAL_TOKEN"])
        )
        parts["conversations"] = ConversationServiceStub(channel)
        parts["tenants"] = TenantServiceStub(channel)
        parts["responders"] = build_responders(KnowledgeServiceStub(channel), allow_private_addresses=True)
        yield
        await channel.close()

    app = FastAPI(lifespan=lifespan)

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/api/chat")
    async def chat(body: dict[str, Any], authorization: Annotated[str, Header()]) -> Any:
        token = authorization.removeprefix("Bearer ")
        if known.get(token, 0.0) < time.monotonic():
            await parts["tenants"].VerifyApiKey(VerifyApiKeyRequest(token=token))
            known[token] = time.monotonic() + _REMEMBERED_SECONDS
        request = json_format.ParseDict(body, ChatRequest())
        message_id = secrets.token_hex(16)
        begin = BeginTurnRequest(
            tenant_id=request.tenant_id,
            channel=Channel.WEBCHAT,
            message_id=message_id,
            conversation_id=request.conversation_id,
            contact=Contact(address=request.user_id),
            text=request.message,
        )
        result = await run_turn(
            begin, conversations=parts["conversations"], responders=parts["responders"], timeout=30
        )
        if not isinstance(result, Finished):
            raise HTTPException(503)
        answer = finished(message_id, result.begin, result.outcome)
        return json_format.MessageToDict(answer, always_print_fields_with_no_presence=True)

    return app


async def main(port: int) -> None:
    """Serve until killed."""
    config = uvicorn.Config(
        build(), host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="error"
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
