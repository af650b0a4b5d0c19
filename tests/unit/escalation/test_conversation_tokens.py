"""A token opens one conversation of one tenant, and no other."""

from __future__ import annotations

import pytest

from services.common.settings import Secret
from services.escalation.accounts.conversation_tokens import ConversationTokens
from services.escalation.store.identity import Identities

KEY = Secret("a-key-of-this-test-installation")


def test_a_token_opens_its_conversation_alone() -> None:
    tokens = ConversationTokens(KEY)
    token = tokens.issue("m", "c1")
    assert tokens.valid(token, "m", "c1")
    assert not tokens.valid(token, "m", "c2")
    assert not tokens.valid(token, "n", "c1")
    assert not tokens.valid("", "m", "c1")
    assert not tokens.valid("ž\ud800", "m", "c1")
    assert tokens.issue("a", "b/c") != tokens.issue("a/b", "c")
    assert len(token) == 32


def test_tokens_hold_in_every_process_and_through_a_rotation() -> None:
    token = ConversationTokens(KEY).issue("m", "c")
    assert ConversationTokens(KEY).valid(token, "m", "c")
    rotated = ConversationTokens(Secret("the-new-key-of-this-installation," + KEY.reveal()))
    assert rotated.valid(token, "m", "c")
    assert not ConversationTokens(Secret("another-key-of-another-one")).valid(token, "m", "c")


def test_a_key_is_needed() -> None:
    with pytest.raises(ValueError, match="METACHAT_SECRET_KEY"):
        ConversationTokens(Secret(" , "))


def test_ids_rise_and_follow_the_one_they_are_told() -> None:
    identities = Identities()
    made = [identities.new() for _ in range(5000)]
    assert made == sorted(set(made))
    ahead = "f" * 12 + "7" + "f" * 3 + "8" + "0" * 15
    assert identities.new(after="0" + ahead[1:]) > "0" + ahead[1:]
    assert all(len(identity) == 32 and identity[12] == "7" for identity in made)
