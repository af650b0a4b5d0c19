"""Where a command connects and as whom: addresses and token from the environment, errors as plain lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import grpc

from services.common.errors import from_rpc_error

Stub = TypeVar("Stub")

DEADLINE_SECONDS = 30.0


class _BearerInterceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds the bearer token and a deadline to every call."""

    def __init__(self, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)

    def _details(self, details: grpc.ClientCallDetails, *, bounded: bool) -> Any:
        class Details(grpc.ClientCallDetails):
            method = details.method
            timeout = details.timeout or (DEADLINE_SECONDS if bounded else None)
            metadata = (*(details.metadata or ()), *self._metadata)
            credentials = details.credentials
            wait_for_ready = details.wait_for_ready
            compression = details.compression

        return Details()

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Call with the token and a deadline."""
        return continuation(self._details(details, bounded=True), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        """Call with the token; a stream lasts as long as it is read."""
        return continuation(self._details(details, bounded=False), request)


def data_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of the local installation."""
    return Path(environment.get("METACHAT_DATA_FOLDER", ".data"))


def escalation_address(environment: Mapping[str, str] = os.environ) -> str:
    """The gRPC target of the system of record."""
    port = environment.get("ESCALATION_PORT", "50052")
    return environment.get("METACHAT_ADDRESS") or environment.get("ESCALATION_ADDRESS") or f"localhost:{port}"


def gateway_address(environment: Mapping[str, str] = os.environ) -> str:
    """The gRPC target of the gateway (chat)."""
    return environment.get("GATEWAY_ADDRESS") or f"localhost:{environment.get('GATEWAY_GRPC_PORT', '50050')}"


def token(environment: Mapping[str, str] = os.environ) -> str:
    """The bearer token; raises ClickException naming both places it is looked for in."""
    given = environment.get("METACHAT_TOKEN") or environment.get("METACHAT_OPERATOR_TOKEN")
    if given:
        return given
    path = data_folder(environment) / "operator-token"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise click.ClickException(
            f"no token: set METACHAT_TOKEN, or run where {path} can be read (made by the first start)"
        ) from error


def open_stub(stub: Callable[[grpc.Channel], Stub], address: str, bearer: str | None = None) -> Stub:
    """A stub on a fresh channel to `address` that sends the bearer token with every call."""
    channel = grpc.insecure_channel(address, options=[("grpc.enable_retries", 1)])
    return stub(grpc.intercept_channel(channel, _BearerInterceptor(bearer or token())))


@contextmanager
def plain_errors(address: str) -> Iterator[None]:
    """Turn a failed call into one line that says what to do."""
    try:
        yield
    except grpc.RpcError as call:
        if call.code() is grpc.StatusCode.UNAVAILABLE:
            raise click.ClickException(
                f"nothing answers at {address}: start it (`make run`) or set METACHAT_ADDRESS"
            ) from call
        error = from_rpc_error(call)
        lines = [error.message, *(f"  {fault.field}: {fault.description}" for fault in error.fields)]
        raise click.ClickException("\n".join(dict.fromkeys(lines))) from call
