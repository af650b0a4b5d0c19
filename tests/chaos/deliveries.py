"""Holds what a provider said of its messages against the states they went through. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.provider import Said
from tests.chaos.words import Taken

UNKNOWN = "delivery_unknown"
# What a provider can say, in the order in which it can become true.
RANK: Mapping[str, int] = {"sent": 1, "failed": 2, "delivered": 3, "read": 4}
_ARRIVED = ("delivered", "read")
# A message counts as sent from when the provider was called: so long, in seconds, a call may be on its way on
# a machine that everything shares.
_ON_ITS_WAY = 10.0


@dataclass(frozen=True)
class Move:
    """A change of an outbound message's state, in the order in which they were written."""

    outbound: str
    before: str
    after: str


@dataclass(frozen=True)
class Sent:
    """Where an outbound message stands at the end, and under which id of the provider. `called`: when the
    provider was called with it, in seconds since 1970.
    """

    id: str
    state: str
    provider_id: str = ""
    called: float = 0.0


@dataclass
class Verdict:
    """`by_status`, `by_attempt`: unknown deliveries that were settled by the provider's word, and by a late
    report of the attempt itself. The others hold a line for each thing that must not be.
    """

    by_status: int = 0
    by_attempt: int = 0
    backwards: list[str] = field(default_factory=list)
    unfounded: list[str] = field(default_factory=list)
    unheeded: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every state is one that was said, and only ever moved forward."""
        return not (self.backwards or self.unfounded or self.unheeded)


def judge(
    rows: Iterable[Sent],
    moves: Sequence[Move],
    took: Sequence[Taken],
    said: Sequence[Said],
    dead: frozenset[str] = frozenset(),
) -> Verdict:
    """`dead`: ids of messages among the dead letters; statuses there need not have been heeded."""
    verdict, rows = Verdict(), list(rows)
    called = {row.id: row.called for row in rows}
    taken_by = {taken.outbound: taken for taken in took}
    # What was said of each message: by our id or the provider's, and (watermarks) to whom until when.
    of_message: dict[str, set[str]] = defaultdict(set)
    with_our_id: dict[str, set[str]] = defaultdict(set)
    by_provider_id: dict[str, set[str]] = defaultdict(set)
    to_person: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for one in said:
        word, taken = one.word, one.taken
        if word.form == "watermark":
            to_person[taken.number, taken.recipient].append(one)
            continue
        of_message[taken.outbound].add(word.state)
        if f"{taken.id}:{word.state.upper()}" not in dead:
            by_provider_id[taken.id].add(word.state)
            if word.form == "echo" or (word.form == "status" and word.named):
                with_our_id[taken.outbound].add(word.state)

    def covered(outbound: str, state: str) -> bool:
        """Whether a watermark says so of the message."""
        taken = taken_by.get(outbound)
        if taken is None:
            return False
        # Who has read something has it.
        least, earliest = RANK[state], max(called.get(outbound, 0.0), taken.since - _ON_ITS_WAY)
        words = to_person[taken.number, taken.recipient]
        return any(RANK[one.word.state] >= least and one.until >= earliest for one in words)

    for move in moves:
        name, rank = f"{move.outbound}: {move.before} → {move.after}", RANK.get(move.after, 0)
        if move.before == "cancelled" or (move.before in RANK and rank <= RANK[move.before]):
            verdict.backwards.append(name)
        if move.after in _ARRIVED and not (
            move.after in of_message[move.outbound] or covered(move.outbound, move.after)
        ):
            verdict.unfounded.append(f"{name}, which nobody said")
        if move.before == UNKNOWN and move.after in RANK:
            if move.after in of_message[move.outbound]:
                verdict.by_status += 1
            elif move.after in ("sent", "failed") and (move.after == "sent") == (move.outbound in taken_by):
                verdict.by_attempt += 1
            elif move.after not in _ARRIVED:
                verdict.unfounded.append(f"{name}, which nobody said")
    for row in rows:
        wanted = with_our_id[row.id] | (by_provider_id[row.provider_id] if row.provider_id else set())
        most = max(wanted, key=RANK.__getitem__, default="")
        if most and RANK.get(row.state, 0) < RANK[most]:
            verdict.unheeded.append(f"{row.id}: {most} was said of it, and it is {row.state}")
    return verdict


def counted(verdict: Verdict, said: Sequence[Said], lost: int, repeats: int) -> list[tuple[str, int]]:
    """The lines of the table."""
    forms = Counter(one.word.form for one in said)
    return [
        ("statuses said by WhatsApp", forms["status"]),
        ("echoes and marks said by Messenger", len(said) - forms["status"]),
        ("  lost on purpose, and said to nobody", lost),
        ("  said twice", repeats),
        ("unknown, then settled by a status", verdict.by_status),
        ("unknown, then reported after all", verdict.by_attempt),
        ("states that nobody said", len(verdict.unfounded)),
        ("states said and not taken over", len(verdict.unheeded)),
        ("states that moved backwards", len(verdict.backwards)),
    ]
