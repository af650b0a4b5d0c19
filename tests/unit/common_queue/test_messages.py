"""Envelopes: what they refuse, and their way through AMQP's properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from services.common.queue.amqp_message import to_envelope, to_history, to_properties, to_published_at
from services.common.queue.port import Envelope, Retry

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ENVELOPES = st.builds(
    Envelope,
    st.binary(max_size=50),
    TEXT,
    TEXT,
    TEXT,
    st.dictionaries(TEXT.filter(lambda name: not name.startswith("x-")), TEXT, max_size=4),
)
HISTORIES = st.builds(Retry, st.integers(0, 1000), st.integers(0, 10**6), TEXT)


@given(ENVELOPES, HISTORIES, st.integers(0, 2**31))
def test_envelope_and_history_survive_the_wire(envelope: Envelope, history: Retry, at: int) -> None:
    sent = to_properties(envelope, history, published_at=float(at))
    arrived = Basic.Properties()
    arrived.unmarshal(*_flags_and_rest(sent.marshal()))
    assert to_envelope(arrived, envelope.body) == envelope
    assert to_history(arrived) == history
    assert to_published_at(arrived) == at


def _flags_and_rest(data: bytes) -> tuple[int, bytes]:
    return int.from_bytes(data[:2], "big"), data[2:]


def test_messages_are_persistent_protobuf() -> None:
    properties = to_properties(Envelope(b"", "a.B", "1"), Retry(), published_at=1.0)
    assert (properties.delivery_mode, properties.content_type) == (2, "application/x-protobuf")
    assert (properties.message_type, properties.message_id, properties.headers) == ("a.B", "1", {})


def test_nothing_set_is_an_envelope_too() -> None:
    assert to_envelope(Basic.Properties(), b"x") == Envelope(b"x", "", "")
    assert to_history(Basic.Properties()) == Retry()
    assert to_published_at(Basic.Properties()) == 0.0


def test_a_foreign_message_with_headers_we_would_not_send_is_still_handed_out() -> None:
    headers = {"note": "x" * 60_000, "x-metachat-tries": -1, "x-metachat-first-failure": b"\xff"}
    properties = Basic.Properties(headers=headers, message_id="1")
    assert to_envelope(properties, b"x") == Envelope(b"x", "", "1")
    assert to_history(properties) == Retry(0, 0, "\ufffd")


@pytest.mark.parametrize(
    ("message_id", "type_", "key", "headers", "complaint"),
    [
        ("x" * 256, "a.B", "", {}, "message id"),
        ("ä" * 128, "a.B", "", {}, "message id"),
        ("1", "x" * 256, "", {}, "type"),
        ("1", "a.B", "x" * 40_000, {}, "longer"),
        ("1", "a.B", "", {"n": "x" * 40_000}, "longer"),
        ("1", "a.B", "", {"x-metachat-tries": "5"}, "named"),
        ("1", "a.B", "", {"n" * 256: "5"}, "named"),
        ("\ud800", "a.B", "", {}, "surrogates"),
    ],
)
def test_what_no_broker_would_carry_is_refused(
    message_id: str, type_: str, key: str, headers: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        Envelope(b"", type_, message_id, key, headers)
