"""How a tenant's chat window looks on web pages: what is set, defaults, and a readable text colour; pure.

Everything here is public: it is handed to whoever holds a key that stands in a web page.
"""

from __future__ import annotations

from typing import Final

from metachat.escalation.v1.settings_pb2 import TenantSettings
from metachat.escalation.v1.tenant_pb2 import Widget

from services.escalation.tenants import texts
from services.escalation.tenants.tenant_settings import DEFAULT_LOCALE

DEFAULT_ACCENT: Final = "#2457c5"
DEFAULT_POSITION: Final = "right"
WHITE: Final = "#ffffff"
BLACK: Final = "#000000"
# WCAG 2.2, success criterion 1.4.3 (AA), for text of normal size.
LEAST_CONTRAST: Final = 4.5
# sRGB to linear light, as WCAG 2.2 defines relative luminance.
_KNEE: Final = 0.04045
_WEIGHTS: Final = (0.2126, 0.7152, 0.0722)


def luminance(color: str) -> float:
    """Relative luminance of "#rrggbb", 0 (black) to 1 (white)."""
    channels = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (value / 12.92 if value <= _KNEE else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return sum(weight * value for weight, value in zip(_WEIGHTS, linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(color: str) -> str:
    """White where it is readable on the colour, else black, which then is: no colour fails both."""
    return WHITE if contrast(WHITE, color) >= LEAST_CONTRAST else BLACK


def look_of(settings: TenantSettings) -> Widget:
    """What web pages may know of the tenant."""
    own = settings.widget
    accent = (own.accent_color or DEFAULT_ACCENT).lower()
    return Widget(
        title=own.title.strip() or settings.brand_name.strip(),
        greeting=own.greeting.strip(),
        accent_color=accent,
        accent_text_color=text_on(accent),
        position=own.position or DEFAULT_POSITION,
        launcher_text=own.launcher_text.strip(),
        offline_text=own.offline_text.strip(),
        locale=settings.locale or DEFAULT_LOCALE,
        disclaimer=texts.disclaimer_of(settings).strip(),
    )
