"""What a provider says in a chaos run, and how it is held against what became of its messages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import orjson
import pytest
from metachat.channel.v1.channel_pb2 import DeliveryStatus

from services.gateway.webhooks.messenger import parse_messenger
from services.gateway.webhooks.signature import signature_fits
from services.gateway.webhooks.whatsapp import parse_whatsapp
from tests.acceptance.installation import APP_SECRET, wait_until
from tests.chaos.deliveries import Move, Sent, counted, judge
from tests.chaos.provider import ChaosProvider, Said
from tests.chaos.words import APP_ID, Taken, Word, call, fate

OURS = "01a203cbaa0970028f7040133e8b0e5b"


def whatsapp(number: int = 0) -> Taken:
    return Taken(OURS, "4917", f"wamid.{number}", "It is 79 euros.", 0.0, "555", id="wamid.out", since=100.0)


def messenger(number: int = 0) -> Taken:
    return Taken(
        OURS,
        "PSID",
        f"m_{number}",
        "It is 79 euros.",
        0.0,
        "777",
        id="m_out",
        channel="messenger",
        since=100.0,
    )


def test_a_seed_gives_the_same_words_and_another_one_others() -> None:
    planned = [fate(3, whatsapp(number)) for number in range(50)]
    assert planned == [fate(3, whatsapp(number)) for number in range(50)]
    assert planned != [fate(4, whatsapp(number)) for number in range(50)]


def test_words_are_of_every_kind() -> None:
    fates = [fate(5, make(number)) for number in range(600) for make in (whatsapp, messenger)]
    words = [word for each in fates for word in each.words]
    seen = Counter((word.form, word.state) for word in words)
    assert set(seen) == {
        *(("status", state) for state in ("sent", "delivered", "read", "failed")),
        *(("echo", "sent"), ("mids", "delivered"), ("watermark", "delivered"), ("watermark", "read")),
    }
    assert {word.copies for word in words} == {1, 2}
    assert {word.lost for word in words} == {word.named for word in words} == {True, False}
    assert {each.early for each in fates} == {True, False}
    order = ["sent", "failed", "delivered", "read"]
    places = [[order.index(word.state) for word in each.words] for each in fates]
    assert any(place != sorted(place) for place in places)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("state", ["sent", "delivered", "read", "failed"])
def test_what_whatsapp_says_is_read_as_it_is_meant(state: str, named: bool) -> None:
    word = Word("status", state, 0.0, named=named)
    (item,) = parse_whatsapp(orjson.loads(call(word, whatsapp(), time.time()))).items
    assert isinstance(item, DeliveryStatus)
    assert DeliveryStatus.State.Name(item.state) == state.upper()
    assert (item.provider_message_id, item.outbound_id) == ("wamid.out", OURS if named else "")
    assert item.error_code == ("131026" if state == "failed" else "")


@pytest.mark.parametrize(
    ("form", "state", "id_", "ours"),
    [
        ("echo", "sent", "m_out", OURS),
        ("mids", "delivered", "m_out", ""),
        ("watermark", "delivered", "", ""),
        ("watermark", "read", "", ""),
    ],
)
def test_what_messenger_says_is_read_as_it_is_meant(form: str, state: str, id_: str, ours: str) -> None:
    (item,) = parse_messenger(orjson.loads(call(Word(form, state, 0.0), messenger(), 5.0)), APP_ID).items
    assert isinstance(item, DeliveryStatus)
    assert DeliveryStatus.State.Name(item.state) == state.upper()
    assert (item.provider_message_id, item.outbound_id) == (id_, ours)
    assert item.watermark.ToMilliseconds() == (5000 if form == "watermark" else 0)
    assert item.contact.address == "PSID"


def status(state: str, *, named: bool = True) -> Said:
    return Said(Word("status", state, 0.0, named=named), whatsapp(), 101.0)


def mark(state: str, until: float) -> Said:
    return Said(Word("watermark", state, 0.0), messenger(), until)


MOVES = {
    "out": [("queued", "sending"), ("sending", "sent")],
    "lost": [("queued", "sending"), ("sending", "delivery_unknown")],
}


def moves(start: str, *more: tuple[str, str]) -> list[Move]:
    return [Move(OURS, *each) for each in (*MOVES[start], *more)]


@pytest.mark.parametrize(
    ("said", "walked", "state", "expected"),
    [
        # (settled by a status, by the attempt, backwards, unfounded, unheeded)
        ([status("read")], moves("out", ("sent", "read")), "read", (0, 0, 0, 0, 0)),
        ([status("sent"), status("failed")], moves("out", ("sent", "failed")), "failed", (0, 0, 0, 0, 0)),
        ([status("read")], moves("lost", ("delivery_unknown", "read")), "read", (1, 0, 0, 0, 0)),
        ([], moves("lost", ("delivery_unknown", "sent")), "sent", (0, 1, 0, 0, 0)),
        ([], moves("lost"), "delivery_unknown", (0, 0, 0, 0, 0)),
        ([status("read", named=False)], moves("lost"), "delivery_unknown", (0, 0, 0, 0, 0)),
        ([status("sent")], moves("lost", ("delivery_unknown", "read")), "read", (0, 0, 0, 1, 0)),
        ([status("sent")], moves("lost", ("delivery_unknown", "failed")), "failed", (0, 0, 0, 1, 0)),
        ([], moves("out", ("sent", "delivered")), "delivered", (0, 0, 0, 1, 0)),
        ([status("read")], moves("lost"), "delivery_unknown", (0, 0, 0, 0, 1)),
        ([status("read"), status("sent")], moves("out"), "sent", (0, 0, 0, 0, 1)),
        (
            [status("read"), status("delivered")],
            moves("out", ("sent", "read"), ("read", "delivered")),
            "delivered",
            (0, 0, 1, 0, 1),
        ),
        ([], moves("out", ("sent", "delivery_unknown")), "delivery_unknown", (0, 0, 1, 0, 0)),
    ],
)
def test_whatsapp_states_are_held_against_what_was_said(
    said: list[Said], walked: list[Move], state: str, expected: tuple[int, ...]
) -> None:
    found = judge([Sent(OURS, state)], walked, [whatsapp()], said)
    assert expected == (
        *(found.by_status, found.by_attempt),
        *(len(found.backwards), len(found.unfounded), len(found.unheeded)),
    )
    assert found.good == (expected[2:] == (0, 0, 0))


def test_a_status_by_the_providers_id_alone_is_to_be_heeded_once_the_id_is_known() -> None:
    said = [status("read", named=False)]
    assert judge([Sent(OURS, "sent", "wamid.out")], moves("out"), [whatsapp()], said).unheeded
    assert not judge([Sent(OURS, "sent")], moves("out"), [whatsapp()], said).unheeded
    dead = frozenset({"wamid.out:READ"})
    assert not judge([Sent(OURS, "sent", "wamid.out")], moves("out"), [whatsapp()], said, dead).unheeded


@pytest.mark.parametrize(
    ("until", "called", "unfounded"),
    [(100.0, 99.0, 0), (99.5, 99.0, 0), (98.5, 99.0, 1), (89.0, 80.0, 1)],
)
def test_a_watermark_speaks_for_what_was_sent_until_then(until: float, called: float, unfounded: int) -> None:
    walked = moves("out", ("sent", "delivered"))
    rows = [Sent(OURS, "delivered", called=called)]
    found = judge(rows, walked, [messenger()], [mark("read", until)])
    assert len(found.unfounded) == unfounded
    assert judge([], moves("out", ("sent", "read")), [messenger()], [mark("delivered", until)]).unfounded


def test_the_table_counts_forms_apart() -> None:
    said = [status("sent"), mark("read", 1.0), mark("delivered", 1.0)]
    lines = dict(counted(judge([], [], [], said), said, 4, 5))
    assert (lines["statuses said by WhatsApp"], lines["echoes and marks said by Messenger"]) == (1, 2)


class _Gateway(BaseHTTPRequestHandler):
    """Refuses the first call, and takes the others where they are signed."""

    calls: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        signed = signature_fits(body, self.headers["x-hub-signature-256"], APP_SECRET)
        self.calls.append(self.path)
        self.send_response(200 if signed and len(self.calls) > 1 else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[str]]]:
    calls: list[str] = []
    server = HTTPServer(("127.0.0.1", 0), type("Gateway", (_Gateway,), {"calls": calls}))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", calls
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_provider_says_what_it_took_again_until_it_is_heard(gateway: tuple[str, list[str]]) -> None:
    address, calls = gateway
    with ChaosProvider(seed=1) as provider:
        provider.gateway = address
        for number in range(6):
            body = {
                "recipient": {"id": "PSID"},
                "message": {"text": "Hi", "metadata": OURS},
                "reply_to": {"mid": f"m_{number}"},
            }
            httpx.post(f"{provider.url}/777/messages", json=body, timeout=10).raise_for_status()
        expected = [word for taken in provider.took for word in fate(1, taken).words if not word.lost]
        wait_until(lambda: provider.unsaid == 0 and provider.said, "all words to be heard")
        assert len(provider.said) == len(expected)
        assert len(calls) == sum(word.copies for word in expected) + 1
        assert set(calls) == {"/webhooks/messenger"}
        assert {taken.channel for taken in provider.took} == {"messenger"}
