"""How a chat window looks: defaults, and text that is readable on every colour a tenant may choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metachat.escalation.v1.settings_pb2 import ConfidenceEscalationSettings, TenantSettings, WidgetSettings

from services.escalation.tenants import widget_look
from services.escalation.tenants.widget_look import BLACK, WHITE, contrast, look_of, text_on

colors = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}")


@given(colors)
def test_text_is_readable_on_every_colour(color: str) -> None:
    assert contrast(text_on(color), color) >= widget_look.LEAST_CONTRAST


@given(colors, colors)
def test_contrast_has_no_order_and_its_bounds(one: str, other: str) -> None:
    assert contrast(one, other) == contrast(other, one)
    assert 1 <= contrast(one, other) <= 21.000001


def test_contrast_as_the_recommendation_says() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    # Known pairs of WCAG's own examples: #767676 is the lightest grey that passes on white, #777777 fails.
    assert contrast("#767676", WHITE) >= 4.5 > contrast("#777777", WHITE)


def test_defaults() -> None:
    look = look_of(TenantSettings(brand_name=" Metrica ", locale="hr"))
    assert (look.title, look.greeting, look.position, look.locale) == ("Metrica", "", "right", "hr")
    assert (look.accent_color, look.accent_text_color) == ("#2457c5", WHITE)
    assert look.disclaimer.startswith("Napomena")
    assert look_of(TenantSettings()).title == ""


def test_what_the_tenant_sets() -> None:
    own = WidgetSettings(
        accent_color="#FFDD00",
        title="Help",
        greeting="Hi",
        position="left",
        launcher_text="Ask",
        offline_text="Away",
    )
    look = look_of(
        TenantSettings(
            brand_name="Metrica",
            widget=own,
            confidence_escalation=ConfidenceEscalationSettings(disclaimer_text=""),
        )
    )
    assert (look.accent_color, look.accent_text_color) == ("#ffdd00", BLACK)
    assert (look.title, look.greeting, look.position) == ("Help", "Hi", "left")
    assert (look.launcher_text, look.offline_text, look.disclaimer) == ("Ask", "Away", "")
