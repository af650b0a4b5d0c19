"""What a provider says of the messages it took: statuses, echoes, watermarks; late, lost, repeated. Pure."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

APP_ID = "770077"
_ENDS = ("sent", "delivered", "read", "failed")
_SHARES = (10, 30, 57, 3)
_NAMED = 0.7
_EARLY = 0.15
_SHUFFLED = 0.2
_LOST = 0.1
_REPEATED = 0.15
_BY_IDS = 0.3
_SOONEST, _LATEST = 0.02, 0.5


@dataclass(frozen=True)
class Taken:
    """A message that reached a customer, in the order of `at`. `id`: the provider's of it. `since`: when, in
    seconds since 1970.
    """

    outbound: str
    recipient: str
    reply_to: str
    text: str
    at: float
    number: str
    id: str = ""
    channel: str = "whatsapp"
    since: float = 0.0


@dataclass(frozen=True)
class Word:
    """One thing that is said of a message: `form` is status, echo, mids or watermark; `named`: with our id.

    `after`: seconds after the message was taken; `copies` come in all; a `lost` one never comes.
    """

    form: str
    state: str
    after: float
    copies: int = 1
    named: bool = False
    lost: bool = False


@dataclass(frozen=True)
class Fate:
    """What is said of a message, and whether the first word comes before the answer to the send itself."""

    words: tuple[Word, ...]
    early: bool


def fate(seed: int, taken: Taken) -> Fate:
    """Drawn from the seed and from what the customer wrote, which are the same in each run of a seed."""
    chance = random.Random(f"words {seed} {taken.recipient} {taken.reply_to} {taken.text}")
    (end,) = chance.choices(_ENDS, _SHARES)
    states = ["sent", "failed"] if end == "failed" else list(_ENDS[: _ENDS.index(end) + 1])
    if taken.channel == "messenger":
        # A failure comes with the answer alone; of what went out there is an echo.
        states = [state for state in states if state != "failed"]
    early = chance.random() < _EARLY
    named = taken.channel == "messenger" or chance.random() < _NAMED
    moments, moment = [], 0.0
    for _ in states:
        moments.append(0.0 if early and not moments else moment + chance.uniform(_SOONEST, _LATEST))
        moment = moments[-1]
    if chance.random() < _SHUFFLED:
        chance.shuffle(moments)
    words = [
        Word(
            form=_form(taken.channel, state, chance),
            state=state,
            after=round(after, 3),
            copies=2 if chance.random() < _REPEATED else 1,
            named=named,
            lost=chance.random() < _LOST,
        )
        for state, after in zip(states, moments, strict=True)
    ]
    return Fate(tuple(sorted(words, key=lambda word: word.after)), early)


def _form(channel: str, state: str, chance: random.Random) -> str:
    by_ids = chance.random() < _BY_IDS
    if channel == "whatsapp":
        return "status"
    if state == "sent":
        return "echo"
    return "mids" if state == "delivered" and by_ids else "watermark"


def call(word: Word, taken: Taken, now: float) -> bytes:
    """The webhook call that says it, at `now` (seconds since 1970)."""
    return json.dumps(
        _whatsapp(word, taken, now) if word.form == "status" else _page(word, taken, now)
    ).encode()


def _whatsapp(word: Word, taken: Taken, now: float) -> dict[str, Any]:
    status: dict[str, Any] = {
        "id": taken.id,
        "status": word.state,
        "timestamp": str(int(now)),
        "recipient_id": taken.recipient,
        "pricing": {"billable": False, "pricing_model": "PMP", "category": "service", "type": "regular"},
    }
    if word.named:
        status["biz_opaque_callback_data"] = taken.outbound
    if word.state == "failed":
        status["errors"] = [{"code": 131026, "title": "Message undeliverable", "message": "Undeliverable"}]
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15551234567", "phone_number_id": taken.number},
        "contacts": [{"wa_id": taken.recipient, "profile": {"name": "Jane Smith"}}],
        "statuses": [status],
    }
    change = {"field": "messages", "value": value}
    return {"object": "whatsapp_business_account", "entry": [{"id": "WABA", "changes": [change]}]}


def _page(word: Word, taken: Taken, now: float) -> dict[str, Any]:
    customer, page, at = {"id": taken.recipient}, {"id": taken.number}, int(now * 1000)
    event: dict[str, Any] = {"sender": customer, "recipient": page, "timestamp": at}
    match word.form:
        case "echo":
            message = {"mid": taken.id, "is_echo": True, "app_id": int(APP_ID), "text": taken.text}
            event |= {
                "sender": page,
                "recipient": customer,
                "message": message | {"metadata": taken.outbound},
            }
        case "mids":
            event["delivery"] = {"mids": [taken.id], "watermark": at}
        case _:
            event["read" if word.state == "read" else "delivery"] = {"watermark": at}
    return {"object": "page", "entry": [{"id": taken.number, "time": at, "messaging": [event]}]}
