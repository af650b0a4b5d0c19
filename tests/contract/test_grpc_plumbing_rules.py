"""Rules that stand in a proto: what a server makes of each, and which it does not start with.

The service is described here and not in a .proto file, so that it may also break the rules.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from metachat.access.v1 import access_pb2

from services.common.access import MissingRule
from services.common.caller import current_caller
from services.common.errors import Kind, from_rpc_error
from services.common.grpc_server import GrpcServer, Registration
from tests.contract.grpc_plumbing_toy import INTERNAL, bearer, served

_numbers = itertools.count(1)
Access = access_pb2.Access


class Described:
    """A service with one RPC, `Do(Request{tenant_id, target{tenant_id}, text ≤ 5}) → Request`."""

    def __init__(self, rule: Access | None, *, stream: bool = False) -> None:
        package = f"metachat.toy{next(_numbers)}.v1"
        file = descriptor_pb2.FileDescriptorProto(
            name=package.replace(".", "/") + "/toy.proto",
            package=package,
            syntax="proto3",
            dependency=["metachat/access/v1/access.proto", "buf/validate/validate.proto"],
        )
        text = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
        optional = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
        target = file.message_type.add(name="Target")
        target.field.add(name="tenant_id", number=1, type=text, label=optional)
        request = file.message_type.add(name="Request")
        tenant = request.field.add(name="tenant_id", number=1, type=text, label=optional)
        request.field.add(
            name="target",
            number=2,
            label=optional,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
            type_name=f".{package}.Target",
        )
        limited = request.field.add(name="text", number=3, type=text, label=optional)
        limited.options.Extensions[validate_pb2.field].string.max_bytes = 5
        if rule is not None and rule.tenant_field == "tenant_id":
            tenant.options.Extensions[validate_pb2.field].string.min_len = 1
        service = file.service.add(name="ToyService")
        method = service.method.add(
            name="Do",
            input_type=f".{package}.Request",
            output_type=f".{package}.Request",
            server_streaming=stream,
        )
        if rule is not None:
            method.options.Extensions[access_pb2.rule].CopyFrom(rule)
        pool = descriptor_pool.Default()
        pool.Add(file)
        self.name = f"{package}.ToyService"
        self.stream = stream
        self.Request = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Request"))

    def add(self, servicer: Any, server: Any) -> None:
        """What generated code would do."""
        make = grpc.unary_stream_rpc_method_handler if self.stream else grpc.unary_unary_rpc_method_handler
        handler = make(
            servicer.Do,
            request_deserializer=self.Request.FromString,
            response_serializer=self.Request.SerializeToString,
        )
        server.add_registered_method_handlers(self.name, {"Do": handler})

    def call(self, channel: grpc.aio.Channel) -> Any:
        make = channel.unary_stream if self.stream else channel.unary_unary
        return make(
            f"/{self.name}/Do",
            request_serializer=self.Request.SerializeToString,
            response_deserializer=self.Request.FromString,
        )


class Echo:
    async def Do(self, request: Any, context: Any) -> Any:
        return request


class Ticker:
    """Sends one answer and then waits, as streams of changes do."""

    async def Do(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield request
        await asyncio.Event().wait()


class Synchronous:
    def Do(self, request: Any, context: Any) -> Any:
        return request


@asynccontextmanager
async def door(
    described: Described, servicer: Any = None, **options: Any
) -> AsyncIterator[tuple[GrpcServer, Any]]:
    registration = Registration(servicer or Echo(), described.add)
    async with (
        served(servicers=[registration], **options) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield server, described.call(channel)


CHAT = {"scopes": [Access.CHAT, Access.INTERNAL]}


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (None, r"has no \(metachat.access.v1.rule\)"),
        (Access(), "names scopes, or is open"),
        (Access(open=True, scopes=[Access.CHAT]), "names scopes, or is open"),
        (Access(tenant_field="nowhere", **CHAT), "names no text field"),
        (Access(tenant_field="target", **CHAT), "names no text field"),
        (Access(tenant_field="text.tenant_id", **CHAT), "names no text field"),
    ],
)
async def test_a_server_does_not_start_with_a_rule_that_is_missing_or_senseless(rule, complaint) -> None:
    with pytest.raises(MissingRule, match=complaint):
        async with door(Described(rule)):
            pass


@pytest.mark.parametrize(("stream", "servicer"), [(False, Synchronous()), (True, Echo()), (False, Ticker())])
async def test_a_server_does_not_start_with_a_function_it_cannot_serve(stream, servicer) -> None:
    with pytest.raises(TypeError, match="must be an `async def`"):
        async with door(Described(Access(**CHAT), stream=stream), servicer):
            pass


async def test_a_planned_rpc_says_what_it_waits_for_to_those_who_may_call_it() -> None:
    described = Described(Access(planned=True, planned_with="policy", **CHAT))
    # Its servicer has no function for it, as generated base classes have none.
    async with door(described, Synchronous()) as (_, call):
        for metadata, kind in (((), Kind.UNAUTHENTICATED), (bearer("public-of-metrica"), Kind.FORBIDDEN)):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call(described.Request(), metadata=metadata)
            assert from_rpc_error(raised.value).kind is kind
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(described.Request(), metadata=bearer(INTERNAL))
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert raised.value.details() == "ToyService.Do is not implemented yet: it comes with policy"


async def test_an_open_rpc_asks_for_no_token_and_believes_none() -> None:
    described = Described(Access(open=True))
    subjects: list[str] = []

    class Open:
        async def Do(self, request: Any, context: Any) -> Any:
            subjects.append(current_caller().subject)
            return request

    async with door(described, Open()) as (_, call):
        await call(described.Request())
        await call(described.Request(), metadata=bearer(INTERNAL))
    assert subjects == ["anonymous", "anonymous"]


async def test_a_required_tenant_is_filled_in_before_the_check_that_it_is_there() -> None:
    described = Described(Access(tenant_field="tenant_id", **CHAT))
    async with door(described) as (_, call):
        assert (await call(described.Request(), metadata=bearer("chat-of-metrica"))).tenant_id == "metrica"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(described.Request(), metadata=bearer(INTERNAL))
        assert [fault.field for fault in from_rpc_error(raised.value).fields] == ["tenant_id"]


async def test_a_tenant_inside_another_message_is_bound_too() -> None:
    described = Described(Access(tenant_field="target.tenant_id", **CHAT))
    async with door(described) as (_, call):
        metadata = bearer("chat-of-metrica")
        answer = await call(described.Request(text="a"), metadata=metadata)
        assert answer.target.tenant_id == "metrica"
        request = described.Request()
        request.target.tenant_id = "other"
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(request, metadata=metadata)
        assert from_rpc_error(raised.value).kind is Kind.FORBIDDEN


async def test_another_tenant_is_refused_before_the_rest_of_the_request_is_looked_at() -> None:
    described = Described(Access(tenant_field="tenant_id", **CHAT))
    async with door(described) as (_, call):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(
                described.Request(tenant_id="other", text="too long"), metadata=bearer("chat-of-metrica")
            )
        assert from_rpc_error(raised.value).kind is Kind.FORBIDDEN


async def test_a_stream_of_changes_ends_when_the_server_drains_so_that_clients_open_it_elsewhere() -> None:
    described = Described(Access(**CHAT), stream=True)
    async with door(described, Ticker(), drain_seconds=20.0) as (server, call):
        stream = call(described.Request(text="a"), metadata=bearer(INTERNAL))
        assert (await stream.read()).text == "a"
        stopping = asyncio.create_task(server.stop())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await asyncio.wait_for(stream.read(), 30)
        assert from_rpc_error(raised.value).kind is Kind.UNAVAILABLE
        assert raised.value.details() == "the server is stopping; open the stream again"
        await asyncio.wait_for(stopping, 30)


class Flood:
    """Sends without a pause: it is ended while grpc sends, most of the time."""

    async def Do(self, request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            yield request
            await asyncio.sleep(0)


@pytest.mark.parametrize("read", [1, 2, 3, 5, 8])
async def test_a_stream_that_is_being_sent_ends_with_a_word_too(read: int) -> None:
    described = Described(Access(**CHAT), stream=True)
    async with door(described, Flood(), drain_seconds=60.0) as (server, call):
        stream = call(described.Request(text="a"), metadata=bearer(INTERNAL))
        for _ in range(read):
            assert await stream.read() is not grpc.aio.EOF
        stopping = asyncio.create_task(server.stop())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async with asyncio.timeout(30):
                while await stream.read() is not grpc.aio.EOF:
                    pass
        assert from_rpc_error(raised.value).kind is Kind.UNAVAILABLE
        assert raised.value.details() == "the server is stopping; open the stream again"
        await asyncio.wait_for(stopping, 30)


async def test_a_stream_that_is_refused_sends_nothing() -> None:
    described = Described(Access(tenant_field="tenant_id", **CHAT), stream=True)
    async with door(described, Ticker()) as (_, call):
        for metadata, kind in ((bearer(INTERNAL), Kind.INVALID), ((), Kind.UNAUTHENTICATED)):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call(described.Request(), metadata=metadata).read()
            assert from_rpc_error(raised.value).kind is kind
