"""Fixed texts: the tenant's, else the language's, else English."""

from __future__ import annotations

import pytest
from metachat.escalation.v1.settings_pb2 import MessageSettings, TenantSettings

from services.escalation.tenants.texts import DEFAULTS, disclaimer_of, text_of


def test_every_language_has_every_text() -> None:
    for language, texts in DEFAULTS.items():
        assert set(texts) == set(DEFAULTS["en"]), language
        assert all(text.strip() for text in texts.values())
        assert "{name}" in texts["agent_joined"]


def test_texts_without_a_default_are_sent_only_where_the_tenant_wrote_one() -> None:
    fields = {field.name for field in MessageSettings.DESCRIPTOR.fields if not field.is_repeated}
    without = fields - set(DEFAULTS["en"])
    assert without == {"closed"}
    assert all(text_of(TenantSettings(), name) == "" for name in without)
    assert text_of(TenantSettings(messages={"closed": "Bye."}), "closed") == "Bye."


@pytest.mark.parametrize(("locale", "language"), [("", "en"), ("de-AT", "de"), ("pt_BR", "pt"), ("xx", "en")])
def test_the_locale_chooses(locale: str, language: str) -> None:
    settings = TenantSettings(locale=locale)
    assert text_of(settings, "handoff") == DEFAULTS[language]["handoff"]
    assert disclaimer_of(settings) == DEFAULTS[language]["disclaimer"]


def test_a_text_that_is_set_and_empty_sends_nothing() -> None:
    settings = TenantSettings(messages={"handoff": ""}, confidence_escalation={"disclaimer_text": ""})
    assert text_of(settings, "handoff") == disclaimer_of(settings) == ""
    assert text_of(settings, "unavailable") == DEFAULTS["en"]["unavailable"]
