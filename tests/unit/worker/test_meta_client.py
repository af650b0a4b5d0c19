from __future__ import annotations

import pytest

from services.worker.channels.meta_client import MetaClient
from services.worker.channels.port import NotSent

# Where nobody listens: whatever is tried there fails otherwise.
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("token", ["EAAB\u00a0token", "EAABt\u00f6ken", "EAAB\ntoken", "EAAB\x7f"])
async def test_a_token_that_no_header_can_carry_surely_sends_nothing_and_is_to_be_entered_anew(
    token: str,
) -> None:
    client = MetaClient(NOWHERE)
    result = await client.post("1/messages", {}, token=token)
    assert isinstance(result, NotSent)
    assert (result.code, result.attention) == ("bad_token", "reconnect")
    assert token not in result.detail
    assert await client.tell("1/messages", {}, token=token) is False
    await client.close()
