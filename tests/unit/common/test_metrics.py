"""What is counted can be scraped."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from services.common import metrics


def test_the_exposition_has_our_names_and_the_process_s() -> None:
    metrics.RPC_SERVER_HANDLED.labels("pkg.Service", "Do", "OK").inc()
    text = metrics.exposition().decode()
    assert 'metachat_rpc_server_handled_total{code="OK",method="Do",service="pkg.Service"}' in text
    assert "process_resident_memory_bytes" in text


def test_a_port_of_its_own_serves_them_until_stopped() -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stop = metrics.serve_metrics(port, "127.0.0.1")
    url = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert b"metachat_rpc_server" in answer.read()
    with pytest.raises(OSError):
        metrics.serve_metrics(port, "127.0.0.1")
    stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_zero_is_off() -> None:
    metrics.serve_metrics(0)()
