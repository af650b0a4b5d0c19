"""Bodies come out as they went in, memory stays within the bound, and order is that of arrival."""

import asyncio
import random
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.queue.handout import HandedOut, Handout
from services.common.queue.port import Envelope, QueueName, Retry
from services.common.queue.waiting_bodies import BodyFile, WaitingBodies

SIZES = st.integers(min_value=0, max_value=20_000)


class Message(HandedOut):
    """Settles at once."""

    async def _ack(self) -> None: ...

    async def _again(self, delay_seconds: float, history: Retry) -> None: ...

    async def _dead_letter(self, reason: str, history: Retry, told: bool) -> None: ...


def message(number: int, size: int, *, queue: int = 0, key: str = "") -> Message:
    name = QueueName(f"t{queue}", "whatsapp", "inbound")
    envelope = Envelope(random.Random(number).randbytes(size), "some.Type", str(number), key)
    return Message(name, envelope, Retry(), redeliveries=0, published_at=0.0)


@given(st.lists(SIZES, max_size=40), st.randoms())
@settings(deadline=None)
def test_what_is_put_into_the_file_comes_out_and_leaves_no_room_behind(
    sizes: list[int], chance: random.Random
) -> None:
    with tempfile.TemporaryFile(buffering=0) as real:
        file = BodyFile(real)
        bodies = [chance.randbytes(size) for size in sizes]
        kept = [(file.put(body), body) for body in bodies]
        room = sum(slot.room for slot, _ in kept)
        chance.shuffle(kept)
        for slot, body in kept[::2]:
            assert file.get(slot) == body
            file.free(slot)
        again = [(file.put(body), body) for _, body in kept[::2]]
        # Those of the same sizes find the room that was freed.
        assert real.seek(0, 2) <= room
        for slot, body in [*kept[1::2], *again]:
            assert file.get(slot) == body
            file.free(slot)
        assert real.seek(0, 2) == 0


@dataclass
class Turn:
    """What a run of the handout did."""

    order: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    handled: int = 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["", "a", "b"]), SIZES), max_size=60),
    st.integers(1, 30_000),
    st.integers(1, 6),
    st.randoms(),
)
@settings(deadline=None)
def test_order_and_bodies_hold_however_little_fits_into_memory(
    given_messages: list[tuple[int, str, int]], bound: int, hands: int, chance: random.Random
) -> None:
    bodies = WaitingBodies(bound)
    handout = Handout(bodies)
    sent = [
        message(number, size, queue=queue, key=key)
        for number, (queue, key, size) in enumerate(given_messages)
    ]
    originals = {one.envelope.message_id: one.envelope for one in sent}

    async def run() -> Turn:
        turn = Turn()
        arriving = list(sent)
        in_hand: list[HandedOut] = []
        taken: HandedOut | None = None
        while turn.handled < len(sent):
            step = chance.random()
            if arriving and step < 0.5:
                handout.offer(arriving.pop(0))
                assert bodies.waiting <= bound
            elif in_hand and (step < 0.75 or len(in_hand) == hands):
                one = in_hand.pop(chance.randrange(len(in_hand)))
                await one.ack()
                turn.handled += 1
            elif len(in_hand) < hands:
                if taken is None:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0):
                            taken = await handout.take()
                if taken is None or not bodies.fits(taken):
                    continue
                one, taken = taken, None
                bodies.recall(one)
                assert one.envelope == originals[one.envelope.message_id]
                place = (one.queue.queue, one.envelope.ordering_key)
                turn.order.setdefault(place, []).append(one.envelope.message_id)
                in_hand.append(one)
                largest = max(len(each.envelope.body) for each in in_hand)
                assert bodies.handed_out <= max(bound, largest)
        return turn

    with closing(bodies):
        turn = asyncio.run(run())
        for (queue, key), seen in turn.order.items():
            expected = [
                one.envelope.message_id
                for one in sent
                if (one.queue.queue, one.envelope.ordering_key) == (queue, key)
            ]
            assert seen == expected
        assert (bodies.waiting, bodies.handed_out, bodies.in_file) == (0, 0, 0)


def test_what_is_dropped_frees_its_room() -> None:
    bodies = WaitingBodies(10)
    handout = Handout(bodies)
    first, second = message(1, 8), message(2, 5000)
    handout.offer(first)
    handout.offer(second)
    assert (bodies.waiting, bodies.in_file) == (8, 5000)
    assert handout.clear(first.queue) == [first, second]
    assert (bodies.waiting, bodies.handed_out, bodies.in_file) == (0, 0, 0)
    bodies.close()


def test_without_a_place_to_write_bodies_stay_in_memory() -> None:
    def refuse() -> IO[bytes]:
        raise OSError("read-only file system")

    bodies = WaitingBodies(10, make_file=refuse)
    large = message(1, 5000)
    body = large.envelope.body
    bodies.arrived(large)
    assert (bodies.waiting, bodies.in_file) == (5000, 0)
    bodies.recall(large)
    assert large.envelope.body == body


def test_a_file_that_was_cut_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bodies"
    bodies = WaitingBodies(1, make_file=lambda: path.open("w+b", buffering=0))
    large = message(1, 5000)
    bodies.arrived(large)
    path.write_bytes(b"short")
    with pytest.raises(OSError, match="ended too early"):
        bodies.recall(large)
    bodies.close()
