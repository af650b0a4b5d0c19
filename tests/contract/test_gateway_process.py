"""The gateway as a process, and its gRPC door."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.chat.v1.chat_pb2 import ChatRequest
from metachat.chat.v1.chat_pb2_grpc import ChatServiceStub

from services.common.errors import Kind, from_rpc_error
from services.common.grpc_channel import open_channel
from services.common.settings import Secret
from tests.servers.process import free_port
from tests.unit.gateway.toys import SHOP, Running, gateway, until


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Running]:
    async with gateway(tmp_path) as running:
        running.world.add_key("chat-metrica", "metrica", Access.CHAT)
        running.world.add_key("public-metrica", "metrica", Access.PUBLIC, origins=(SHOP,))
        yield running


async def test_chat_over_grpc_is_the_same_chat(door: Running) -> None:
    async with open_channel(f"127.0.0.1:{door.grpc_port}", token=Secret("chat-metrica")) as channel:
        stub = ChatServiceStub(channel)
        response = await stub.Chat(ChatRequest(message="Which pills?", message_id="mine"))
        assert response.metadata.confidence_escalation.escalated
        assert (response.message_id, response.conversation_token) == ("mine", "ct1")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Chat(ChatRequest(message=""))
        assert from_rpc_error(caught.value).fields[0].field == "message"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Chat(ChatRequest(tenant_id="other", message="x"))
        assert from_rpc_error(caught.value).kind is Kind.FORBIDDEN
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Chat(ChatRequest(message="busy"), timeout=1)
        failure = from_rpc_error(caught.value)
        assert (failure.kind, failure.retry_after) == (Kind.UNAVAILABLE, 60)


async def test_a_public_key_needs_its_origin_over_grpc_too(door: Running) -> None:
    async with open_channel(f"127.0.0.1:{door.grpc_port}", token=Secret("public-metrica")) as channel:
        stub = ChatServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Chat(ChatRequest(message="x"))
        assert from_rpc_error(caught.value).reason == "ORIGIN_NOT_ALLOWED"
        await stub.Chat(ChatRequest(message="x"), metadata=(("origin", SHOP),))


def start(tmp_path: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.gateway"],
        env={
            "PATH": os.environ["PATH"],
            "METACHAT_DATA_FOLDER": str(tmp_path / "data"),
            "ESCALATION_ADDRESS": "127.0.0.1:1",
            "CONFIDENCE_ADDRESS": "127.0.0.1:1",
            "GATEWAY_GRPC_PORT": "0",
            "GATEWAY_DRAIN_SECONDS": "1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


async def test_the_process_serves_without_its_dependencies_and_drains(tmp_path: Path) -> None:
    port = free_port()
    process = start(tmp_path, GATEWAY_HTTP_PORT=str(port))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

            async def alive() -> bool:
                assert process.poll() is None
                try:
                    return (await http.get("/health")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(alive, 20)
            ready = await http.get("/ready")
            assert ready.status_code == 503
            assert ready.json()["status"] == "unavailable"
            assert ready.json()["dependencies"]["queue"] == "up"
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("variable", ["GATEWAY_HTTP_PORT", "GATEWAY_GRPC_PORT"])
async def test_a_taken_port_is_one_line_that_says_what_to_do(tmp_path: Path, variable: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        process = start(tmp_path, **({"GATEWAY_HTTP_PORT": "0"} | {variable: port}))
        output, _ = await asyncio.to_thread(process.communicate, None, 20)
    lines = output.decode().strip().splitlines()
    assert process.returncode == 2
    assert len(lines) == 1
    assert f"{variable}={port}" in lines[0]
    assert "free port" in lines[0]


async def test_production_without_its_variables_names_all_of_them(tmp_path: Path) -> None:
    process = start(tmp_path, METACHAT_ENV="production", GATEWAY_TURN_SECONDS="soon")
    output, _ = await asyncio.to_thread(process.communicate, None, 20)
    assert process.returncode == 2
    for name in (
        "RABBITMQ_URL",
        "METACHAT_INTERNAL_TOKEN",
        "METACHAT_OPERATOR_TOKEN",
        "GATEWAY_TURN_SECONDS",
    ):
        assert name in output.decode()
