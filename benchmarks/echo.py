"""A bare grpc.aio server on uvloop, answering with 512 bytes: the floor everything is held against."""

from __future__ import annotations

import sys

import grpc
import uvloop

METHOD = "/benchmark.Echo/Call"
ANSWER = b"x" * 512


class Handler(grpc.GenericRpcHandler):
    """Serves METHOD with raw bytes."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The one handler."""

        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return ANSWER

        return grpc.unary_unary_rpc_method_handler(answer)


async def main(port: int) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
