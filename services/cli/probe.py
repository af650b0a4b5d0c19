"""`metachat probe`: a health check for container engines and scripts."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import click

from services.cli.readiness import grpc_ready, http_ready


@click.command(name="probe")
@click.argument("target")
def command(target: str) -> None:
    """Exit 0 when TARGET is ready, 1 when it is not.

    TARGET is grpc://HOST:PORT (standard gRPC health) or http://HOST:PORT/PATH (status 200).
    """
    address = urlsplit(target)
    if address.scheme not in ("grpc", "http") or not address.hostname or not address.port:
        raise click.UsageError("TARGET must look like grpc://localhost:50051 or http://localhost:8080/ready")
    check = (
        grpc_ready(address.netloc)
        if address.scheme == "grpc"
        else http_ready(address.port, address.path or "/", host=address.hostname)
    )
    if not asyncio.run(check()):
        raise click.ClickException(f"{target} is not ready")
