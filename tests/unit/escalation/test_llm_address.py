"""A stored key stays with the server it was given for."""

from __future__ import annotations

import pytest
from metachat.escalation.v1.settings_pb2 import LlmSettings

from services.common.errors import ServiceError
from services.escalation.tenants.llm_address import check_key_stays, same_server, server_of


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example/v1", "https://a.example/v2/", True),
        ("https://a.example/v1", "https://A.Example:443/v1", True),
        ("https://a.example/v1", "https://a.example./v1", True),
        ("", "https://api.openai.com/v1", True),
        ("https://a.example/v1", "http://a.example/v1", False),
        ("https://a.example/v1", "https://a.example:8443/v1", False),
        ("https://a.example/v1", "https://b.example/v1", False),
        ("https://a.example/v1", "https://a.example@b.example/v1", False),
        ("https://a.example/v1", "https://a.example.b.example/v1", False),
        ("https://a.example/v1", "", False),
        ("https://[::1", "https://[::2", False),
        ("https://a.example:99999/", "https://a.example/", False),
    ],
)
def test_what_is_the_same_server(one: str, other: str, same: bool) -> None:
    assert same_server(one, other) is same
    assert same_server(other, one) is same


def test_what_is_no_address_leads_nowhere() -> None:
    assert server_of("nonsense") is None
    assert server_of("https://x:port/") is None


def test_a_stored_key_is_asked_for_again() -> None:
    here, there = LlmSettings(base_url="https://a.example"), LlmSettings(base_url="https://b.example")
    check_key_stays(here, there, stored=False, given=False)
    check_key_stays(here, there, stored=True, given=True)
    check_key_stays(here, here, stored=True, given=False)
    with pytest.raises(ServiceError) as caught:
        check_key_stays(here, there, stored=True, given=False)
    assert [fault.field for fault in caught.value.fields] == ["settings.llm.api_key"]
    assert caught.value.fields[0].description == "the base URL's host changed, give the key again"
