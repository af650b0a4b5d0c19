"""The worker's own reading of the rules agrees with protovalidate's."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage, OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact, ListMessagesRequest

from services.common.validation import violations
from services.worker.body_rules import UnknownRule, first_fault

TEXTS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(["", "x" * 64, "x" * 65, "é" * 32, "é" * 33, "x" * 512, "x" * 513, "x" * 65_537]),
)
CONTACTS = st.none() | st.builds(Contact, address=TEXTS, user_id=TEXTS, display_name=TEXTS)
NUMBERS = st.sampled_from([0, 1, 2, 3, 6, 99, -1])
BODIES = st.one_of(
    st.builds(
        InboundMessage,
        tenant_id=TEXTS,
        channel=NUMBERS,
        account_id=TEXTS,
        message_id=TEXTS,
        contact=CONTACTS,
        kind=NUMBERS,
        text=TEXTS,
        details_json=TEXTS,
    ),
    st.builds(
        OutboundMessage, outbound_id=TEXTS, tenant_id=TEXTS, channel=NUMBERS, contact=CONTACTS, text=TEXTS
    ),
    st.builds(
        DeliveryStatus, tenant_id=TEXTS, channel=NUMBERS, state=NUMBERS, contact=CONTACTS, error_code=TEXTS
    ),
)


@given(BODIES)
@settings(deadline=None)
def test_both_readings_agree(body: Message) -> None:
    wrong = {fault.field for fault in violations(body)}
    fault = first_fault(body)
    assert bool(fault) == bool(wrong)
    if fault:
        assert fault.partition(":")[0] in wrong


def test_a_rule_that_is_not_read_is_refused() -> None:
    assert first_fault(Contact(address="a")) == ""
    with pytest.raises(UnknownRule, match="page_size"):
        first_fault(ListMessagesRequest())
