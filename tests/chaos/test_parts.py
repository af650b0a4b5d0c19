"""The parts of a chaos run: what they promise is what the count rests on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.ledger import ANSWERED, DEAD, NOWHERE, PERSON, UNKNOWN, OutboxRow, Records, TurnRow, count
from tests.chaos.proxy import TcpProxy
from tests.chaos.schedule import Blow, schedule
from tests.chaos.traffic import Story, Text, conversations
from tests.chaos.words import Taken

BLOWS = [Blow(kind, f"{kind}-{n}") for kind in ("kill", "cut", "freeze", "provider 5xx") for n in range(3)]


def test_a_seed_gives_the_same_faults_and_another_one_others() -> None:
    first = schedule(3, BLOWS, messages=1000, faults=10)
    assert first == schedule(3, BLOWS, messages=1000, faults=10)
    assert first != schedule(4, BLOWS, messages=1000, faults=10)


def test_every_kind_strikes_before_any_strikes_twice() -> None:
    planned = sorted(schedule(5, BLOWS, messages=1000, faults=12), key=lambda fault: fault.number)
    assert {fault.blow.kind for fault in planned[:4]} == {blow.kind for blow in BLOWS}
    assert {fault.blow for fault in planned} == set(BLOWS)
    assert all(0 <= fault.accepted <= 1000 for fault in planned)


def test_a_seed_gives_the_same_traffic_with_ids_of_its_own() -> None:
    tenants = [("a", "1", "p1"), ("b", "2", "p2")]
    planned = conversations(9, tenants, 200)
    assert planned == conversations(9, tenants, 200)
    ids = [text.id for calls in planned for call in calls for text in call.texts]
    assert len(ids) == len(set(ids)) == 200


def test_a_third_of_the_conversations_goes_over_messenger_each_all_of_it() -> None:
    planned = conversations(9, [("a", "1", "p1")], 600)
    channels = [{text.channel for call in calls for text in call.texts} for calls in planned]
    assert all(len(each) == 1 for each in channels)
    assert 0.3 < channels.count({"messenger"}) / len(channels) < 0.4
    accounts = {(text.channel, text.account) for calls in planned for call in calls for text in call.texts}
    assert accounts == {("whatsapp", "1"), ("messenger", "p1")}


def story(message: str, number: int = 0) -> Story:
    return Story(Text(message, "shop", "1", "491", number, "?"), ["200"], accepted=True)


def taken(outbound: str) -> Taken:
    return Taken(outbound, "491", "", "!", 0.0, "1")


def turn(message: str, state: str = "decided", action: str = "CONTINUE", handed: bool = False) -> TurnRow:
    return TurnRow(f"t-{message}", message, state, action, handed)


def reply(message: str, state: str = "sent", outbound: str = "") -> OutboxRow:
    return OutboxRow(outbound or f"o-{message}", f"t-{message}", "reply", state)


@pytest.mark.parametrize(
    ("records", "took", "expected"),
    [
        (Records([turn("m")], [reply("m")], frozenset()), ["o-m"], ANSWERED),
        (Records([turn("m")], [reply("m")], frozenset()), [], NOWHERE),
        (Records([turn("m")], [reply("m", "queued")], frozenset()), [], NOWHERE),
        (Records([turn("m")], [reply("m", "delivery_unknown")], frozenset()), ["o-m"], UNKNOWN),
        (Records([turn("m", "held", "", True)], [], frozenset()), [], PERSON),
        (Records([turn("m", "held", "", False)], [], frozenset()), [], NOWHERE),
        (Records([turn("m")], [reply("m", "failed")], frozenset({"o-m"})), [], DEAD),
        (Records([turn("m", handed=True)], [reply("m", "failed")], frozenset()), ["o-m"], PERSON),
        (Records([turn("m", handed=True)], [reply("m", "failed")], frozenset()), [], NOWHERE),
        (Records([], [], frozenset({"m"})), [], DEAD),
        (Records([], [], frozenset()), [], NOWHERE),
    ],
)
def test_a_message_is_in_the_class_that_the_outside_bears_out(
    records: Records, took: list[str], expected: str
) -> None:
    account = count({"m": story("m")}, [taken(outbound) for outbound in took], records)
    assert account.classes[expected] == ["m"]
    assert account.good == (expected != NOWHERE)


def test_a_message_that_went_out_twice_is_seen() -> None:
    records = Records([turn("m")], [reply("m")], frozenset())
    assert len(count({"m": story("m")}, [taken("o-m")] * 2, records).duplicates) == 1
    two = Records([turn("m")], [reply("m"), reply("m", outbound="other")], frozenset())
    assert len(count({"m": story("m")}, [taken("o-m"), taken("other")], two).duplicates) == 1


def test_a_status_or_an_echo_that_became_a_turn_or_a_persons_answer_is_seen() -> None:
    records = Records([turn("m"), turn("wamid.of-ours")], [reply("m")], frozenset(), people=["m_echo"])
    account = count({"m": story("m")}, [taken("o-m")], records)
    assert len(account.not_said_by_customers) == 2 and not account.good


def test_an_answer_before_an_earlier_one_is_seen() -> None:
    stories = {"a": story("a", 0), "b": story("b", 1)}
    records = Records([turn("a"), turn("b")], [reply("a"), reply("b")], frozenset())
    assert not count(stories, [taken("o-a"), taken("o-b")], records).out_of_order
    assert len(count(stories, [taken("o-b"), taken("o-a")], records).out_of_order) == 1


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that says back what it hears."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except OSError:
            pass


def test_the_proxy_passes_on_cuts_is_silent_and_heals(echo_port: int) -> None:
    with TcpProxy(echo_port) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
            client.sendall(b"one")
            assert client.recv(16) == b"one"
            proxy.silence()
            client.sendall(b"two")
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(16)
            client.settimeout(20)
            proxy.heal()
            assert client.recv(16) == b"two"
            proxy.slow(0.05)
            client.sendall(b"three")
            assert client.recv(16) == b"three"
            proxy.cut()
            with pytest.raises(ConnectionError):
                client.sendall(b"four")
                if client.recv(16) == b"":
                    raise ConnectionResetError
        proxy.heal()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
            client.sendall(b"five")
            assert client.recv(16) == b"five"
