"""Traces cross processes in every kind of header, also where no span is recorded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import telemetry
from services.common.caller import Caller, calling_as
from services.common.telemetry import continued, extract, inject, parse_traceparent, trace_id, tracer

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CALLER = Caller("x", frozenset(), None)


def test_outside_of_a_trace_there_is_none() -> None:
    carrier: dict[str, str] = {}
    inject(carrier)
    assert carrier == {}
    assert trace_id() == ""


def test_a_door_begins_a_trace_or_goes_on_with_the_one_it_is_given() -> None:
    with continued({}, "request"):
        first = trace_id()
        carrier: dict[str, str] = {}
        inject(carrier)
    with continued(carrier, "delivery"):
        assert trace_id() == first
    with continued({}, "another"):
        assert trace_id() not in ("", first)
    assert trace_id() == ""


def test_spans_inside_keep_the_trace_id() -> None:
    with continued({"traceparent": HEADER}, "x"), tracer().start_as_current_span("inner"):
        assert trace_id() == "0af7651916cd43dd8448eb211c80319c"


def test_vendor_state_is_passed_on() -> None:
    with continued({"traceparent": HEADER, "tracestate": "vendor=1"}, "x"):
        carrier: dict[str, str] = {}
        inject(carrier)
    assert carrier == {"traceparent": HEADER, "tracestate": "vendor=1"}


def test_a_call_without_a_trace_gets_one_when_it_is_needed_and_keeps_it() -> None:
    with calling_as(CALLER) as call:
        assert call.traceparent == ""
        first = trace_id()
        assert len(first) == 32
        carrier: dict[str, str] = {}
        inject(carrier)
        assert carrier["traceparent"] == call.traceparent == telemetry.traceparent()
        assert trace_id() == first


@pytest.mark.parametrize(
    "header", ["", "junk", HEADER[:-1], HEADER.replace("0af7", "0AZ7"), "00-" + "0" * 32]
)
def test_a_malformed_header_begins_a_new_trace(header: str) -> None:
    assert parse_traceparent(header) is None
    with continued({"traceparent": header}, "x"):
        assert len(trace_id()) == 32
    with calling_as(CALLER) as call:
        call.traceparent = header
        assert len(trace_id()) == 32


@given(st.text(max_size=80))
def test_no_header_breaks_anything(header: str) -> None:
    parse_traceparent(header)
    extract({"traceparent": header, "tracestate": header})


def test_new_traces_are_valid_and_differ() -> None:
    contexts = [telemetry.new_span_context() for _ in range(100)]
    assert all(context.is_valid for context in contexts)
    assert len({context.trace_id for context in contexts}) == 100


ROOT = Path(__file__).parents[3]
PROBE = """
import sys
from services.common import telemetry
telemetry.configure_tracing("probe")
assert "opentelemetry.sdk.trace" not in sys.modules
assert "opentelemetry.exporter" not in sys.modules
"""

EXPORT = """
import http.server, os, sys, threading
bodies = []
class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        bodies.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
from services.common import telemetry
from services.common.caller import CallContext, enter_call
telemetry.configure_tracing("probe")
call = CallContext("pkg.Service/Do"); call.traceparent = HEADER; enter_call(call)
span = telemetry.enter_rpc("pkg.Service/Do", call, "")
assert telemetry.trace_id() == HEADER[3:35], telemetry.trace_id()
with telemetry.tracer().start_as_current_span("inner"):
    carrier = {}; telemetry.inject(carrier)
    assert HEADER[3:35] in carrier["traceparent"] and HEADER[36:52] not in carrier["traceparent"]
span.end()
with telemetry.continued({}, "door"): pass
import asyncio, grpc
from tests.contract.grpc_plumbing_toy import bare_stub, score_request, served
async def refused():
    async with served() as server, bare_stub(server) as stub:
        try: await stub.Score(score_request())
        except grpc.aio.AioRpcError as error: assert error.code() is grpc.StatusCode.UNAUTHENTICATED
asyncio.run(refused())
telemetry.shutdown_tracing()
(path, body), = bodies
assert path == "/v1/traces" and b"metachat-probe" in body and b"pkg.Service/Do" in body
assert b"ConfidenceService/Score" in body and b"UNAUTHENTICATED" in body
assert b"inner" in body and b"door" in body and bytes.fromhex(HEADER[3:35]) in body
"""


@pytest.mark.parametrize("script", [PROBE, f"HEADER = {HEADER!r}\n{EXPORT}"], ids=["off", "on"])
def test_the_sdk_is_loaded_and_spans_are_sent_only_where_an_endpoint_is_set(script: str) -> None:
    """In processes of their own: a tracer provider can be set only once in each."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
