"""When the customer wrote last: the window of a channel is counted from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.escalation.handoffs.priority import window_end
from services.escalation.store.conversations import LockedConversation

START = datetime(2026, 3, 1, tzinfo=UTC)


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_the_window_moves_forward_alone_in_whatever_order_messages_come(seconds: list[int]) -> None:
    conversation = LockedConversation(
        "1" * 32, "metrica", "whatsapp", None, "", "active", "", "", START, START
    )
    for index, second in enumerate(seconds):
        before = window_end("whatsapp", conversation.last_customer_message_at)
        conversation.customer_wrote(START + timedelta(seconds=second))
        after = window_end("whatsapp", conversation.last_customer_message_at)
        assert after is not None and (before is None or after >= before)
        assert conversation.last_customer_message_at == START + timedelta(seconds=max(seconds[: index + 1]))
