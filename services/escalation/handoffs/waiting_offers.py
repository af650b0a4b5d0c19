"""What a customer who waits is told, and the way out when nobody comes; pure.

Somebody works now: the handoff text. Nobody does at this hour, or nobody is there: a text that says so
instead. Where the tenant asks for an e-mail address, our own texts ask for it; a text that the tenant wrote
is sent as it is. An address in what the customer writes next becomes a ticket.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from metachat.escalation.v1 import settings_pb2

from services.escalation.handoffs import business_hours
from services.escalation.handoffs.business_hours import Hours
from services.escalation.tenants.texts import text_of
from services.escalation.turns.closing import Texts

OUT_OF_HOURS: Final = "out_of_hours"
NOBODY_AVAILABLE: Final = "nobody_available"
TIMED_OUT_EVENT: Final = "human_handoff.timed_out"
TICKET_EVENT: Final = "ticket.requested"
_LONGEST_ADDRESS: Final = 254
_LONGEST_LOCAL: Final = 64
# What may stand around an address in a sentence, and in no address that we know.
_AROUND: Final = str.maketrans(dict.fromkeys("<>()[]{},;:\"'!?|\\`“”„«»", " "))
_LOCAL_MARKS: Final = frozenset("._%+-#$&*/=^~")


@dataclass(frozen=True, slots=True)
class Handover:
    """A tenant's settings of waiting, read once. `timeout` None: nobody is offered anything."""

    hours: Hours
    timeout: timedelta | None
    ask_for_email: bool
    require_presence: bool
    out_of_hours: str
    nobody_available: str

    def greeting(self, texts: Texts, now: datetime, *, anyone_available: bool) -> Texts:
        """The texts as they are at this moment; `anyone_available` counts only in business hours."""
        if not self.hours.is_open(now):
            told, text = OUT_OF_HOURS, self.out_of_hours
        elif not anyone_available:
            told, text = NOBODY_AVAILABLE, self.nobody_available
        else:
            return texts
        return replace(
            texts, handoff=text, by_reason={}, told=told, email_asked=self.ask_for_email and bool(text)
        )

    def due(self, waits_since: datetime, now: datetime) -> bool:
        """Whether somebody has waited too long; hours in which nobody works do not count."""
        if self.timeout is None or now - waits_since < self.timeout or not self.hours.is_open(now):
            return False
        enough = self.timeout.total_seconds()
        return self.hours.open_seconds(waits_since, now, enough=enough) >= enough


def read(settings: settings_pb2.TenantSettings) -> Handover:
    """From settings with their defaults filled in."""
    handover = settings.handover
    minutes = handover.waiting_timeout_minutes
    return Handover(
        hours=business_hours.read(handover.business_hours),
        timeout=timedelta(minutes=minutes) if minutes > 0 else None,
        ask_for_email=handover.ask_for_email,
        require_presence=handover.require_presence,
        out_of_hours=_offer(settings, OUT_OF_HOURS),
        nobody_available=_offer(settings, NOBODY_AVAILABLE),
    )


def email_in(text: str) -> str:
    """The first e-mail address in a text; empty: there is none. Takes time in proportion to the text."""
    for word in text.translate(_AROUND).split():
        candidate = word.strip(".")
        if "@" in candidate and _is_address(candidate):
            return candidate
    return ""


def _is_address(candidate: str) -> bool:
    local, _, domain = candidate.partition("@")
    labels = domain.split(".")
    return (
        len(candidate) <= _LONGEST_ADDRESS
        and 0 < len(local) <= _LONGEST_LOCAL
        and all(character.isalnum() or character in _LOCAL_MARKS for character in local)
        and len(labels) > 1
        and len(labels[-1]) > 1
        and not labels[-1].isdecimal()
        and all(_is_label(label) for label in labels)
    )


def _is_label(label: str) -> bool:
    return bool(label) and label.replace("-", "").isalnum() and label[0] != "-" and label[-1] != "-"


def _offer(settings: settings_pb2.TenantSettings, name: str) -> str:
    text = text_of(settings, name).strip()
    if text and settings.handover.ask_for_email and not settings.messages.HasField(name):  # type: ignore[arg-type]
        return f"{text} {text_of(settings, 'email_request')}"
    return text
