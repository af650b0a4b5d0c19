"""A server as a process of its own: on uvloop, stopped by a signal, or kept from starting by a taken port."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import grpc
import pytest
from metachat.confidence.v1 import confidence_pb2 as pb

from services.common.grpc_channel import open_channel
from tests.contract.grpc_plumbing_toy import INTERNAL, SERVICE, pb_grpc, score_request

ROOT = Path(__file__).parents[2]
SCRIPT = """
import asyncio, sys
from metachat.confidence.v1 import confidence_pb2 as pb
from services.common import process
from services.common.grpc_server import build_server
from services.common.logs import configure_logging
from tests.contract.grpc_plumbing_toy import ToyConfidence, access, registration

async def score(request, context):
    print("entered", flush=True)
    await asyncio.sleep(0.3)
    return pb.ScoreResponse(request_id=request.request_id)

async def main(stop):
    configure_logging("toy", production=True, level="WARNING")
    server = build_server(
        port=int(sys.argv[1]), host="127.0.0.1", port_variable="TOY_PORT",
        servicers=[registration(ToyConfidence(score))],
        access=access(), notice_seconds=0.1, drain_seconds=10, share_port=sys.argv[2] == "share",
    )
    print(await server.start(), flush=True)
    await server.serve_until_stopped(stop)

process.run("toy", main)
"""


async def start(port: int = 0, mode: str = "alone") -> Process:
    arguments = (sys.executable, "-c", SCRIPT, str(port), mode)
    return await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, stderr=PIPE, cwd=ROOT)


async def line(process: Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


async def end(process: Process) -> tuple[int | None, str]:
    _, err = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_the_call_in_hand_gets_its_answer(number: signal.Signals) -> None:
    process = await start()
    port = int(await line(process))
    async with open_channel(f"127.0.0.1:{port}", token=INTERNAL, service_name=SERVICE) as channel:
        call = pb_grpc.ConfidenceServiceStub(channel).Score(score_request(request_id="r1"))

        async def finished() -> pb.ScoreResponse:
            return await call

        waiting = asyncio.create_task(finished())
        assert await line(process) == "entered"
        process.send_signal(number)
        assert (await waiting).request_id == "r1"
    assert await end(process) == (0, "")


async def test_a_taken_port_is_one_line_and_exit_code_2() -> None:
    first = await start()
    port = int(await line(first))
    for mode in ("alone", "share"):
        second = await start(port, mode)
        code, err = await end(second)
        assert code == 2
        assert err == (
            f"toy: TOY_PORT={port}: port {port} on 127.0.0.1 is taken by another process: "
            "stop what holds it or set TOY_PORT to a free port\n"
        )
    first.terminate()
    assert (await end(first))[0] == 0


async def test_processes_that_share_a_port_all_answer() -> None:
    first = await start(0, "share")
    port = int(await line(first))
    second = await start(port, "share")
    assert int(await line(second)) == port
    entered = {first: asyncio.create_task(line(first)), second: asyncio.create_task(line(second))}

    async def both_entered() -> None:
        # A connection stays with one process: new ones are opened until the kernel has picked both.
        while not all(task.done() for task in entered.values()):
            async with open_channel(f"127.0.0.1:{port}", token=INTERNAL) as channel:
                await pb_grpc.ConfidenceServiceStub(channel).Score(score_request())

    await asyncio.wait_for(both_entered(), 30)
    for process in entered:
        process.terminate()
        assert (await end(process))[0] == 0


async def test_a_killed_process_is_unavailable_and_not_a_hang() -> None:
    process = await start()
    port = int(await line(process))
    async with open_channel(f"127.0.0.1:{port}", token=INTERNAL, attempts=1) as channel:
        call = pb_grpc.ConfidenceServiceStub(channel).Score(score_request())

        async def finished() -> None:
            await call

        waiting = asyncio.create_task(finished())
        assert await line(process) == "entered"
        process.kill()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await asyncio.wait_for(waiting, 5)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    await end(process)
