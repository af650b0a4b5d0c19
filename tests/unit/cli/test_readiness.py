"""Ports in the way are named with the variable that moves them."""

from __future__ import annotations

import socket

from services.cli.readiness import http_ready, taken_ports


def test_a_free_port_is_no_fault() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert taken_ports({"GATEWAY_HTTP_PORT": port}) == []


def test_a_taken_port_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        [line] = taken_ports({"GATEWAY_HTTP_PORT": port})
    assert str(port) in line and "GATEWAY_HTTP_PORT" in line


def test_the_same_port_twice_is_a_fault() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    [line] = taken_ports({"CONFIDENCE_PORT": port, "ESCALATION_PORT": port})
    assert "CONFIDENCE_PORT" in line and "ESCALATION_PORT" in line


async def test_nobody_there_is_not_ready() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert await http_ready(probe.getsockname()[1], "/health")() is False
