"""Items of a webhook call in short, and what a call must give."""

from __future__ import annotations

from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage

from services.common import validation
from services.gateway.webhooks.parsed import Parsed


def told(parsed: Parsed) -> list[str]:
    """Items in short: "TEXT words @who", "STATUS read id @who"."""
    found = []
    for item in parsed.items:
        item.tenant_id = "metrica"
        assert validation.violations(item) == ()
        who = item.contact.address or item.contact.user_id
        if isinstance(item, DeliveryStatus):
            what = item.provider_message_id or f"until {item.watermark.ToMilliseconds()}"
            found.append(f"STATUS {DeliveryStatus.State.Name(item.state).lower()} {what} @{who}")
        else:
            words = item.text or item.media_kind
            found.append(f"{InboundMessage.Kind.Name(item.kind)} {words} @{who}".replace("  ", " "))
    return found


def check(parsed: Parsed, items: list[str], *reasons: str) -> None:
    assert told(parsed) == items
    assert len(parsed.skipped) == len(reasons), parsed.skipped
    for skipped, reason in zip(parsed.skipped, reasons, strict=True):
        assert reason in skipped.reason, parsed.skipped
