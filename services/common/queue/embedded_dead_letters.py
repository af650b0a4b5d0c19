"""Dead letters and leftovers in the queue file; each function runs inside one transaction of the writer."""

import json
from collections.abc import Callable
from typing import Any

from services.common.queue import topology
from services.common.queue.dead_letters import (
    MOST_BYTES,
    MOST_LETTERS,
    DeadLetter,
    Decide,
    Discard,
    Explain,
    Replay,
    letter_id,
)
from services.common.queue.embedded_file import DEAD, IN_HAND, QueueFile
from services.common.queue.port import Envelope, Retry
from services.common.queue.topology import QueueName

# What `QueueFile.end_holder` writes.
_BY_THE_FILE = "delivery_limit"
_WORDS = "delivery_limit: handed out too often without being settled"
# See `DeadLetter.silent`: told ones are left out before their bodies are read.
_SILENT = f"AND (dead_reason = '{_BY_THE_FILE}' OR instr(headers, '\"{topology.UNTOLD}\"'))"
_COLUMNS = (
    "seq, ordering_key, tries, parked, first_failure, dead_reason, dead_at, published_at, message_id, type,"
    " headers, body"
)


def sweep(
    file: QueueFile, place: QueueName | None, decide: Decide, limit: int, now: float, *, untold: bool = False
) -> int:
    """See `Queue.sweep_dead_letters`."""
    key = topology.UNROUTED if place is None else place.routing_key
    found = file.connection.execute("SELECT id FROM queues WHERE routing_key = ?", (key,)).fetchone()
    if found is None:
        return 0
    rows = file.connection.execute(
        f"SELECT {_COLUMNS} FROM messages WHERE state = 3 AND queue = ? {_SILENT if untold else ''}"  # noqa: S608 - constants
        " ORDER BY seq LIMIT ?",
        (found[0], min(limit, MOST_LETTERS)),
    )
    shown = size = 0
    # Read whole first: rows that are written while a statement reads may be read again.
    for row in rows.fetchall():
        if size >= MOST_BYTES:
            break
        shown += 1
        size += len(row[-1])
        letter = _letter(row, place)
        _carry_out(file, row[0], letter, decide, now)
    return shown


def retire(file: QueueFile, routing_key: str, reason: str, now: float) -> bool:
    """See `Queue.retire`. The row that is the queue's name stays: other processes remember its number."""
    found = file.connection.execute("SELECT id FROM queues WHERE routing_key = ?", (routing_key,)).fetchone()
    if found is None:
        return True
    (queue,) = found
    (held,) = file.connection.execute(
        "SELECT COUNT(*) FROM messages WHERE queue = ? AND state = ?", (queue, IN_HAND)
    ).fetchone()
    if held:
        return False
    lost = file.queue_id(topology.UNROUTED)
    rows = file.connection.execute(
        "SELECT seq, headers, state, dead_reason FROM messages WHERE queue = ?", (queue,)
    ).fetchall()
    for seq, headers, state, dead_reason in rows:
        kept = json.loads(headers) if headers else {}
        kept[topology.DEAD_LETTER_QUEUE] = routing_key
        file.connection.execute(
            "UPDATE messages SET queue = ?, state = 3, due = NULL, dead_reason = ?,"
            " dead_at = COALESCE(dead_at, ?), headers = ? WHERE seq = ?",
            (lost, dead_reason if state == DEAD else reason, now, json.dumps(kept), seq),
        )
    return True


def redistribute(file: QueueFile, name: QueueName, route: Callable[[str], QueueName]) -> int | None:
    """See `Queue.redistribute`; None where somebody has a message of it in hand. Rows keep their numbers, and
    with them their order.
    """
    source = file.queue_id(name.routing_key)
    rows = file.connection.execute(
        "SELECT seq, state, ordering_key FROM messages WHERE queue = ? AND state <> ?", (source, DEAD)
    ).fetchall()
    if any(state == IN_HAND for _, state, _ in rows):
        return None
    for seq, _, key in rows:
        file.connection.execute(
            "UPDATE messages SET queue = ? WHERE seq = ?", (file.queue_id(route(key).routing_key), seq)
        )
    return len(rows)


def _letter(row: tuple[Any, ...], place: QueueName | None) -> DeadLetter:
    seq, key, tries, parked, first, reason, dead_at, published_at, message_id, kind, headers, body = row
    kept: dict[str, str] = json.loads(headers) if headers else {}
    untold = kept.pop(topology.UNTOLD, "") != ""
    origin = place
    if place is None:
        try:
            origin = QueueName.from_routing_key(kept.pop(topology.DEAD_LETTER_QUEUE, ""))
        except ValueError:
            origin = None
    by_file = reason == _BY_THE_FILE
    return DeadLetter(
        id=letter_id(place, str(seq)),
        queue=origin,
        envelope=Envelope(body, kind, message_id, key, kept),
        history=Retry(tries, parked, first),
        reason=_WORDS if by_file else reason or "",
        published_at=published_at,
        dead_at=dead_at or 0.0,
        by_broker=by_file,
        unrouted=place is None,
        untold=untold,
    )


def _carry_out(file: QueueFile, seq: int, letter: DeadLetter, decide: Decide, now: float) -> None:
    match decide(letter):
        case Replay(to=to):
            # A new row: the old number would put it before everything that came later.
            file.publish(to.routing_key, letter.envelope, letter.published_at or now)
        case Explain(reason=reason):
            headers = dict(letter.envelope.headers)
            if letter.unrouted and letter.queue is not None:
                headers[topology.DEAD_LETTER_QUEUE] = letter.queue.routing_key
            file.connection.execute(
                "UPDATE messages SET dead_reason = ?, headers = ? WHERE seq = ?",
                (reason, json.dumps(headers) if headers else "", seq),
            )
            return
        case Discard():
            pass
        case _:
            return
    file.connection.execute("DELETE FROM messages WHERE seq = ?", (seq,))
