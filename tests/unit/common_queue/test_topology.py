"""Every name and argument we declare, written out: they are final, so a change here is a decision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.queue import topology
from services.common.queue.topology import QueueName

TENANTS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
NAMES = st.builds(
    QueueName,
    TENANTS,
    st.sampled_from(topology.CHANNELS),
    st.sampled_from(topology.DIRECTIONS),
    st.none() | st.integers(0, 9999),
)


@pytest.mark.parametrize(
    ("name", "routing_key", "queue", "dead_letter"),
    [
        (
            QueueName("metrica", "whatsapp", "inbound"),
            "tenant.metrica.channel.whatsapp.inbound",
            "tenant.metrica.channel.whatsapp.inbound.queue",
            "tenant.metrica.channel.whatsapp.inbound.queue.dead-letter",
        ),
        (
            QueueName("a_B-9", "messenger", "outbound", 7),
            "tenant.a_B-9.channel.messenger.outbound.7",
            "tenant.a_B-9.channel.messenger.outbound.7.queue",
            "tenant.a_B-9.channel.messenger.outbound.7.queue.dead-letter",
        ),
    ],
)
def test_names(name: QueueName, routing_key: str, queue: str, dead_letter: str) -> None:
    assert (name.routing_key, name.queue, name.dead_letter) == (routing_key, queue, dead_letter)


def test_exchanges() -> None:
    assert topology.ORCHESTRATOR == "metachat.orchestrator"
    assert topology.DEAD_LETTERS == "metachat.dlx"
    assert topology.EVENTS == "metachat.events"
    assert topology.RETURNS == "metachat.returns"
    assert topology.UNROUTED == "metachat.unrouted"
    assert topology.UNROUTED_QUEUE == "metachat.unrouted.dead-letter"
    assert topology.CONTENT_TYPE == "application/x-protobuf"


def test_queue_arguments() -> None:
    assert topology.queue_arguments() == {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "metachat.dlx",
        "x-dead-letter-strategy": "at-least-once",
        "x-single-active-consumer": True,
        "x-delivery-limit": 20,
    }


def test_dead_letter_arguments() -> None:
    """A limit that no number of looks reaches: RabbitMQ 4 has one of 20 where nothing is said."""
    assert topology.dead_letter_arguments() == {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-delivery-limit": 1_000_000_000,
    }


@pytest.mark.parametrize(
    ("delay", "name", "ttl"),
    [
        (0.25, "metachat.retry.250", 250),
        (1.0, "metachat.retry.1000", 1000),
        (2.0, "metachat.retry.2000", 2000),
        (5.0, "metachat.retry.5000", 5000),
        (10.0, "metachat.retry.10000", 10000),
        (30.0, "metachat.retry.30000", 30000),
        (60.0, "metachat.retry.60000", 60000),
        (300.0, "metachat.retry.300000", 300000),
        (900.0, "metachat.retry.900000", 900000),
        (3600.0, "metachat.retry.3600000", 3600000),
    ],
)
def test_retry_queues(delay: float, name: str, ttl: int) -> None:
    assert delay in topology.RETRY_LADDER
    assert topology.retry_exchange(delay) == name
    assert topology.retry_queue(delay) == f"{name}.queue"
    assert topology.retry_arguments(delay) == {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-message-ttl": ttl,
        "x-dead-letter-exchange": "metachat.returns",
        "x-dead-letter-strategy": "at-least-once",
    }


def test_the_ladder_has_no_other_rungs() -> None:
    assert topology.RETRY_LADDER == (0.25, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


@pytest.mark.parametrize(
    ("asked", "given_"), [(-1, 0.25), (0, 0.25), (0.25, 0.25), (0.26, 1), (5, 5), (6, 10), (1e9, 3600)]
)
def test_a_delay_is_never_shortened_but_for_the_longest(asked: float, given_: float) -> None:
    assert topology.rung(asked) == given_


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("", "whatsapp", "inbound"), "tenant id"),
        (("a.b", "whatsapp", "inbound"), "tenant id"),
        (("a#", "whatsapp", "inbound"), "tenant id"),
        (("ä", "whatsapp", "inbound"), "tenant id"),
        (("a\n", "whatsapp", "inbound"), "tenant id"),
        (("a" * 129, "whatsapp", "inbound"), "tenant id"),
        (("a", "webchat", "inbound"), "channel"),
        (("a", "whatsapp", "sideways"), "direction"),
        (("a", "whatsapp", "inbound", -1), "partition"),
        (("a", "whatsapp", "inbound", 10000), "partition"),
    ],
)
def test_bad_parts_are_refused(arguments: tuple[str, str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        QueueName(*arguments)


@given(NAMES)
def test_a_routing_key_leads_back_to_its_name(name: QueueName) -> None:
    assert QueueName.from_routing_key(name.routing_key) == name
    assert len(name.dead_letter) <= 255


@pytest.mark.parametrize(
    "key", ["", "tenant.a", "tenant.a.channel.whatsapp.inbound.x", "tenant.a.channel.whatsapp.inbound.queue"]
)
def test_what_is_no_routing_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not the routing key"):
        QueueName.from_routing_key(key)


@pytest.mark.parametrize(
    ("key", "partitions", "partition"),
    [("", 4, 0), ("491701234567", 4, 0), ("491701234567", 1, 0), ("US.13491208655302741918", 16, 13)],
)
def test_partitions_are_the_same_in_every_release(key: str, partitions: int, partition: int) -> None:
    assert topology.partition_of(key, partitions) == partition


def test_there_is_at_least_one_partition() -> None:
    with pytest.raises(ValueError, match="at least one"):
        topology.partition_of("a", 0)


@given(st.text(max_size=40), st.integers(1, 64))
def test_a_conversation_stays_in_one_partition(key: str, count: int) -> None:
    partitions = topology.Partitions(count)
    name = topology.QueueName("acme", "whatsapp", "inbound")
    chosen = partitions.of(name, key)
    assert chosen == partitions.of(name, key)
    assert chosen in partitions.all(name)
    assert chosen.whole == name


@pytest.mark.parametrize(
    ("count", "before", "current", "old"),
    [
        (1, 0, [None], []),
        (1, 1, [None], []),
        (2, 0, [0, 1], []),
        (3, 1, [0, 1, 2], [None]),
        (2, 2, [0, 1], []),
        (1, 2, [None], [0, 1]),
    ],
)
def test_which_queues_there_are_after_a_change(
    count: int, before: int, current: list[int | None], old: list[int | None]
) -> None:
    partitions = topology.Partitions(count, before)
    name = topology.QueueName("acme", "whatsapp", "inbound")
    assert [queue.partition for queue in partitions.all(name)] == current
    assert [queue.partition for queue in partitions.old(name)] == old


@pytest.mark.parametrize(("count", "before"), [(0, 0), (65, 0), (1, 65), (1, -1)])
def test_partition_counts_have_bounds(count: int, before: int) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        topology.Partitions(count, before)


@pytest.mark.parametrize(("count", "before"), [(2, 4), (4, 2), (64, 63)])
def test_from_several_to_several_the_way_leads_over_one(count: int, before: int) -> None:
    with pytest.raises(ValueError, match=f"{before} to 1 first"):
        topology.Partitions(count, before)


@given(st.text(max_size=400))
def test_every_id_fits(text: str) -> None:
    fitted = topology.fitting_id(text)
    assert len(fitted.encode()) <= topology.SHORT_STRING_BYTES
    assert fitted == text or len(text.encode()) > topology.SHORT_STRING_BYTES
    assert topology.fitting_id(text) == fitted


def test_ids_of_10_kb_differ_by_their_last_byte() -> None:
    assert topology.fitting_id("x" * 10_000 + "a") != topology.fitting_id("x" * 10_000 + "b")
