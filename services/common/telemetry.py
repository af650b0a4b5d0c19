"""Traces across processes: W3C `traceparent` over HTTP, gRPC metadata and queue headers.

Without OTEL_EXPORTER_OTLP_ENDPOINT no span is recorded (and the SDK, 7 MB, is not imported), but trace ids
are made and passed on all the same, so that the log lines of one turn can be found in every process.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.common.caller import CallContext, current_call

if TYPE_CHECKING:
    from opentelemetry.context import Context

ENDPOINT_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
TRACEPARENT: Final = "traceparent"
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NOT_SAMPLED: Final = TraceFlags(0)


class _State:
    recording: bool = False


_state: Final = _State()


def configure_tracing(service: str, environment: Mapping[str, str] | None = None) -> None:
    """Export spans over OTLP/HTTP if an endpoint is set; else only pass trace ids on. Call once, at start.

    The exporter reads the other OTEL_* variables from the process's own environment, as every OpenTelemetry
    SDK does.
    """
    environment = os.environ if environment is None else environment
    if not any(environment.get(name) for name in ENDPOINT_VARIABLES):
        return
    # Here and not above: most installations run without a collector and should not pay for one.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"metachat-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _state.recording = True


def shutdown_tracing() -> None:
    """Send what is still in hand; blocks for at most the exporter's own timeout."""
    shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)
    if _state.recording and shutdown is not None:
        shutdown()


def tracer() -> trace.Tracer:
    """For spans inside a process; without an exporter they cost next to nothing and keep the trace id."""
    return trace.get_tracer("metachat")


def inject(carrier: MutableMapping[str, str]) -> None:
    """Write the current trace into headers (HTTP, queue) or metadata as `traceparent` (and `tracestate`)."""
    if trace.get_current_span().get_span_context().is_valid:
        _PROPAGATOR.inject(carrier)
    elif header := traceparent():
        carrier[TRACEPARENT] = header


def extract(carrier: Mapping[str, str]) -> Context:
    """The context that headers carry; pass it to `continued` or to
    `tracer().start_as_current_span(context=…)`.
    """
    return _PROPAGATOR.extract(carrier)


@contextmanager
def continued(carrier: Mapping[str, str], name: str, kind: SpanKind = SpanKind.CONSUMER) -> Iterator[Span]:
    """Run inside the trace that `carrier` names, or in a new one: the door of a process (HTTP request,
    delivery).
    """
    context = extract(carrier)
    if _state.recording:
        with tracer().start_as_current_span(name, context=context, kind=kind) as span:
            yield span
        return
    span = trace.get_current_span(context)
    if not span.get_span_context().is_valid:
        span = NonRecordingSpan(new_span_context())
    token = otel_context.attach(trace.set_span_in_context(span))
    try:
        yield span
    finally:
        otel_context.detach(token)


def enter_rpc(name: str, call: CallContext, tracestate: str) -> Span | None:
    """Continue the trace of a call for the rest of this task; gives the span to end, if one is recorded.

    With no exporter nothing is done here: `call.traceparent` is looked at when a log line or a nested call
    needs it.
    """
    if not _state.recording:
        return None
    carrier = {TRACEPARENT: call.traceparent, "tracestate": tracestate} if call.traceparent else {}
    span = tracer().start_span(name, context=_PROPAGATOR.extract(carrier), kind=SpanKind.SERVER)
    otel_context.attach(trace.set_span_in_context(span))
    return span


def current_span_context() -> SpanContext | None:
    """The span we are in: OpenTelemetry's own, else that of the call being served (made up where it named
    none).
    """
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        return context
    call = current_call()
    if call is None:
        return None
    context = parse_traceparent(call.traceparent) or new_span_context()
    call.traceparent = _header(context)
    return context


def traceparent() -> str:
    """The current trace as a `traceparent` header; empty outside of one."""
    context = current_span_context()
    return _header(context) if context is not None else ""


def trace_id() -> str:
    """The current trace id, 32 hex digits; empty outside of a trace."""
    context = current_span_context()
    return f"{context.trace_id:032x}" if context is not None else ""


def new_span_context() -> SpanContext:
    """A new, unsampled trace."""
    return SpanContext(secrets.randbits(127) + 1, secrets.randbits(63) + 1, False, _NOT_SAMPLED)


def parse_traceparent(header: str) -> SpanContext | None:
    """The span that a `traceparent` names; None where it is empty or malformed."""
    if not header:
        return None
    span = trace.get_current_span(_PROPAGATOR.extract({TRACEPARENT: header})).get_span_context()
    return span if span.is_valid else None


def _header(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
