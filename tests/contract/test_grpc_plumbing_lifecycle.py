"""Starting, sharing a port, being asked what is served, and going away without losing a call."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from metachat.confidence.v1 import confidence_pb2 as pb

from services.common.grpc_channel import open_channel
from services.common.settings import SettingsError
from tests.contract.grpc_plumbing_toy import (
    INTERNAL,
    SERVICE,
    ToyConfidence,
    bare_stub,
    bearer,
    pb_grpc,
    score_request,
    served,
    until,
)

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_port_taken_by_our_own_kind_is_refused_in_one_line() -> None:
    async with served() as first:
        with pytest.raises(SettingsError) as raised:
            async with served(port=first.port, port_variable="CONFIDENCE_PORT"):
                pass
        assert raised.value.faults == (
            f"CONFIDENCE_PORT={first.port}: port {first.port} on 127.0.0.1 is taken by another process: "
            "stop what holds it or set CONFIDENCE_PORT to a free port",
        )


async def test_a_port_taken_by_a_stranger_is_refused_also_when_sharing_was_asked_for() -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        for share in (False, True):
            with pytest.raises(SettingsError, match="CONFIDENCE_PORT"):
                async with served(
                    port=stranger.getsockname()[1], port_variable="CONFIDENCE_PORT", share_port=share
                ):
                    pass


async def test_a_port_is_shared_where_all_ask_for_it_and_only_there() -> None:
    async with served(share_port=True) as first:
        async with served(port=first.port, share_port=True) as second:
            assert second.port == first.port
        with pytest.raises(SettingsError):
            async with served(port=first.port):
                pass


async def test_a_port_is_free_again_at_once_after_a_stop() -> None:
    async with served() as first, bare_stub(first) as stub:
        await stub.Score(score_request(), metadata=bearer(INTERNAL))
    async with served(port=first.port) as second:
        assert second.port == first.port


async def test_reflection_lists_what_is_served_and_gives_its_files() -> None:
    async with served() as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest
        questions = [request(list_services=""), request(file_containing_symbol=SERVICE)]
        answers = [answer async for answer in stub.ServerReflectionInfo(iter(questions))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert answers[1].file_descriptor_response.file_descriptor_proto


async def test_every_watcher_hears_of_a_change_also_after_another_has_left() -> None:
    async with served() as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        leaver, stayer = health.Watch(request), health.Watch(request)
        assert (await leaver.read()).status == (await stayer.read()).status == SERVING
        leaver.cancel()
        server.health.set_serving(False, SERVICE)
        assert (await asyncio.wait_for(stayer.read(), 5)).status == NOT_SERVING
        server.health.set_serving(True, SERVICE)
        assert (await asyncio.wait_for(stayer.read(), 5)).status == SERVING
        stayer.cancel()


async def test_the_health_of_an_unknown_service_can_be_watched_and_not_set() -> None:
    async with served() as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="x"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()
        with pytest.raises(KeyError):
            server.health.set_serving(True, "x")


async def test_a_drain_says_so_first_and_finishes_the_calls_in_hand() -> None:
    entered, let_go = asyncio.Event(), asyncio.Event()

    async def score(request: Any, context: Any) -> Any:
        entered.set()
        await let_go.wait()
        return pb.ScoreResponse(request_id="done")

    async with (
        served(ToyConfidence(score), drain_seconds=10.0, notice_seconds=0.05) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == SERVING
        call = pb_grpc.ConfidenceServiceStub(channel).Score(score_request(), metadata=bearer(INTERNAL))
        await entered.wait()
        stopping = asyncio.create_task(server.stop())
        assert (await asyncio.wait_for(watch.read(), 5)).status == NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        let_go.set()
        assert (await call).request_id == "done"
        # The watch was ended, so that the drain does not last for its whole bound.
        await asyncio.wait_for(stopping, 5)


async def test_new_calls_are_still_answered_while_clients_are_given_notice() -> None:
    async with (
        served(notice_seconds=30.0) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == SERVING
        stopping = asyncio.create_task(server.stop())
        assert (await asyncio.wait_for(watch.read(), 5)).status == NOT_SERVING
        # A client that has not looked yet, on a connection of its own.
        async with bare_stub(server) as stub:
            await stub.GetScorer(pb.GetScorerRequest(), metadata=bearer(INTERNAL), timeout=5)
        watch.cancel()
        stopping.cancel()
        server._notice_seconds = 0.0


async def test_a_drain_is_bounded() -> None:
    entered = asyncio.Event()

    async def score(request: Any, context: Any) -> Any:
        entered.set()
        await asyncio.Event().wait()

    async with served(ToyConfidence(score), drain_seconds=0.1) as server, bare_stub(server) as stub:
        call = stub.Score(score_request(), metadata=bearer(INTERNAL))
        await entered.wait()
        await asyncio.wait_for(server.stop(), 5)
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await call


async def test_serve_until_stopped_ends_after_the_event() -> None:
    async with served() as server:
        stop = asyncio.Event()
        serving = asyncio.create_task(server.serve_until_stopped(stop))
        stop.set()
        await asyncio.wait_for(serving, 5)


async def test_a_rolling_restart_of_two_replicas_loses_no_call() -> None:
    """Clients on round robin with health checks turn away from a replica that drains before it refuses."""
    failures: list[BaseException] = []
    done = 0
    async with served(notice_seconds=0.3, drain_seconds=5.0) as one, served() as two:
        address = f"ipv4:127.0.0.1:{one.port},127.0.0.1:{two.port}"
        channel = open_channel(address, token=INTERNAL, service_name=SERVICE, attempts=1)
        stub = pb_grpc.ConfidenceServiceStub(channel)
        running = True

        async def caller() -> None:
            nonlocal done
            while running:
                try:
                    await stub.Score(score_request())
                    done += 1
                except grpc.aio.AioRpcError as error:
                    failures.append(error)

        callers = [asyncio.create_task(caller()) for _ in range(4)]
        await until(lambda: done > 50)
        await one.stop()
        after_stop = done
        await until(lambda: done > after_stop + 50)
        running = False
        await asyncio.gather(*callers)
        await channel.close()
    assert failures == []
