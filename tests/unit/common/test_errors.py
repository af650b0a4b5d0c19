"""The table of errors is complete and survives the way over the wire."""

from __future__ import annotations

import grpc
from google.rpc import code_pb2, status_pb2
from hypothesis import example, given
from hypothesis import strategies as st

from services.common.errors import (
    TABLE,
    FieldFault,
    Kind,
    ServiceError,
    from_rpc_error,
    from_status,
    invalid_field,
    to_status,
)

HTTP = {
    "INVALID_ARGUMENT": {400},
    "FAILED_PRECONDITION": {400},
    "UNAUTHENTICATED": {401},
    "PERMISSION_DENIED": {403},
    "NOT_FOUND": {404},
    "ALREADY_EXISTS": {409},
    "ABORTED": {409},
    "RESOURCE_EXHAUSTED": {429, 413},
    "CANCELLED": {499},
    "INTERNAL": {500},
    "UNIMPLEMENTED": {501},
    "UNAVAILABLE": {503},
    "DEADLINE_EXCEEDED": {504},
}


def test_every_kind_has_a_row_and_every_row_the_usual_http_status() -> None:
    assert set(TABLE) == set(Kind)
    for kind, row in TABLE.items():
        assert row.code == code_pb2.Code.Value(row.code_name)
        assert row.http in HTTP[row.code_name]
        assert row.reason.isupper()
        assert kind.row is row
    assert len({row.reason for row in TABLE.values()}) == len(TABLE)


def test_every_code_of_grpc_comes_back_as_some_kind() -> None:
    for code in grpc.StatusCode:
        error = from_status(status_pb2.Status(code=code.value[0], message="m"))
        if code.name in HTTP:
            assert error.kind.row.code_name == code.name
        else:
            assert error.kind in (Kind.INTERNAL, Kind.INVALID)
    assert from_status(status_pb2.Status(code=4711)).kind is Kind.INTERNAL


def test_each_kind_comes_back_as_itself() -> None:
    for kind in Kind:
        assert from_status(to_status(ServiceError(kind, "m"))).kind is kind


short = st.text(max_size=40)


@given(
    st.sampled_from(Kind),
    short,
    st.lists(st.builds(FieldFault, short, short), max_size=5),
    st.none() | st.floats(0, 86400),
    st.dictionaries(short, short, max_size=3),
)
def test_short_errors_cross_the_wire_whole(kind, message, fields, retry_after, metadata) -> None:
    sent = ServiceError(
        kind, message, fields=tuple(fields), detail="private", retry_after=retry_after, metadata=metadata
    )
    wire = to_status(sent).SerializeToString()
    assert b"private" not in wire
    received = from_status(status_pb2.Status.FromString(wire))
    assert (received.kind, received.message, received.reason) == (kind, message, sent.reason)
    assert received.fields == tuple(fields)
    assert dict(received.metadata) == metadata
    if retry_after is None:
        assert received.retry_after is None
    else:
        assert abs(received.retry_after - retry_after) < 1e-5


@given(
    st.text(max_size=3000) | st.just("\ud800" * 9),
    st.lists(st.builds(FieldFault, st.text(max_size=600), st.text(max_size=600)), max_size=40),
    st.dictionaries(st.text(max_size=900), st.text(max_size=900), max_size=9),
)
@example("ž" * 9000, [FieldFault("f" * 900, "ž" * 900)] * 40, {"k": "v" * 1500, "l": "v" * 1500})
def test_no_error_outgrows_the_trailers_of_a_call(message, fields, metadata) -> None:
    status = to_status(ServiceError(Kind.INVALID, message, fields=tuple(fields), metadata=metadata))
    # In base64, beside the message once more in percent-encoding: under the 8 KB a peer takes.
    assert len(status.SerializeToString()) * 4 / 3 + len(status.message.encode()) * 3 < 8000


def test_an_error_reads_well() -> None:
    error = invalid_field("settings.mode", "is unknown")
    assert str(error) == "settings.mode: is unknown"
    assert error.fields == (FieldFault("settings.mode", "is unknown"),)
    assert repr(error) == "ServiceError(INVALID, 'settings.mode: is unknown', reason='INVALID_ARGUMENT')"


def test_a_failure_of_the_library_keeps_its_text_for_the_log() -> None:
    raw = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(),
        details="10.0.0.7:50051 refused",
    )
    error = from_rpc_error(raw)
    assert error.kind is Kind.UNAVAILABLE
    assert "10.0.0.7" not in error.message
    assert error.detail == "UNAVAILABLE: 10.0.0.7:50051 refused"


def test_a_message_over_the_library_s_limit_is_too_large_and_not_too_often() -> None:
    text = "CLIENT: Received message larger than max (20000 vs. 100)"
    raw = grpc.aio.AioRpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.aio.Metadata(), grpc.aio.Metadata(), details=text
    )
    assert from_rpc_error(raw).kind is Kind.TOO_LARGE
