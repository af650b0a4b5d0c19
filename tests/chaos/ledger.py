"""Counts a chaos run from the outside (what the provider took) and from SQL and the dead letters. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.deliveries import Move, Sent, Verdict, judge
from tests.chaos.provider import Said
from tests.chaos.traffic import Story
from tests.chaos.words import Taken

ANSWERED = "answered once"
PERSON = "waiting for a person"
DEAD = "dead letter"
UNKNOWN = "delivery unknown"
NOWHERE = "in no class"
CLASSES = (ANSWERED, PERSON, DEAD, UNKNOWN, NOWHERE)

_REPLY = "reply"


@dataclass(frozen=True)
class TurnRow:
    """A turn: state, action and whether its conversation has a handoff."""

    id: str
    message: str
    state: str
    action: str
    handed_over: bool


@dataclass(frozen=True)
class OutboxRow:
    """An outbound message: of which turn ("" = none), which kind, in which state, its id at the provider, and
    when that was called, in seconds since 1970.
    """

    id: str
    turn: str
    kind: str
    state: str
    provider_id: str = ""
    called: float = 0.0


@dataclass(frozen=True)
class Records:
    """What the installation says of itself. `dead`: ids of inbound and outbound messages put aside.
    `moves`: changes of outbound messages' states. `people`: ids of what was recorded as a person's message.
    """

    turns: Sequence[TurnRow]
    outbox: Sequence[OutboxRow]
    dead: frozenset[str]
    moves: Sequence[Move] = ()
    people: Sequence[str] = ()


@dataclass
class Account:
    """The count. What must not be is held as a line each; `not_said_by_customers`: statuses and echoes that
    became a turn or a person's answer.
    """

    classes: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in CLASSES})
    duplicates: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    not_said_by_customers: list[str] = field(default_factory=list)
    deliveries: Verdict = field(default_factory=Verdict)

    @property
    def good(self) -> bool:
        """Whether everything is in a class, nothing went out twice, order was kept and states are true."""
        return self.deliveries.good and not (
            self.classes[NOWHERE]
            or self.duplicates
            or self.out_of_order
            or self.strangers
            or self.not_said_by_customers
        )


def count(
    stories: Mapping[str, Story], took: Sequence[Taken], records: Records, said: Sequence[Said] = ()
) -> Account:
    """Put every accepted message in its class, and look for what must not be."""
    account = Account()
    rows = [Sent(row.id, row.state, row.provider_id, row.called) for row in records.outbox]
    account.deliveries = judge(rows, records.moves, took, said, records.dead)
    account.not_said_by_customers = [
        *(f"turn {turn.id} of {turn.message}" for turn in records.turns if turn.message not in stories),
        *(f"{message} as a person's answer" for message in records.people),
    ]
    turns = {turn.message: turn for turn in records.turns}
    of_turn: dict[str, list[OutboxRow]] = defaultdict(list)
    for row in records.outbox:
        of_turn[row.turn].append(row)
    sent = Counter(taken.outbound for taken in took)
    for story in stories.values():
        if story.accepted:
            turn = turns.get(story.text.id)
            rows = of_turn[turn.id] if turn else []
            account.classes[_class(story.text.id, turn, rows, sent, records.dead)].append(story.text.id)
    account.duplicates = _duplicates(records, of_turn, sent)
    account.out_of_order = _out_of_order(stories, took, records)
    known = {row.id for row in records.outbox}
    account.strangers = [
        f"{taken.outbound}: {taken.text[:60]}" for taken in took if taken.outbound not in known
    ]
    return account


def _class(
    message: str, turn: TurnRow | None, rows: Sequence[OutboxRow], sent: Counter[str], dead: frozenset[str]
) -> str:
    if turn is not None:
        replies = [row for row in rows if row.kind == _REPLY]
        # What the customer has is the last word on an attempt that we know nothing of.
        if any(row.state == "delivery_unknown" for row in replies):
            return UNKNOWN
        if any(sent[row.id] == 1 and row.state in ("sent", "delivered", "read") for row in replies):
            return ANSWERED
        if turn.handed_over and (
            turn.state in ("held", "failed")
            # It went out, and the provider said later that it could not be delivered.
            or any(sent[row.id] == 1 and row.state == "failed" for row in replies)
            or turn.action == "IMMEDIATE_ESCALATION"
            or any(row.state == "cancelled" for row in replies)
        ):
            return PERSON
        if any(row.id in dead for row in rows):
            return DEAD
    return DEAD if message in dead else NOWHERE


def _duplicates(
    records: Records, of_turn: Mapping[str, Sequence[OutboxRow]], sent: Counter[str]
) -> list[str]:
    found = [
        f"outbound {row.id} ({row.kind}) was sent {sent[row.id]} times"
        for row in records.outbox
        if sent[row.id] > 1
    ]
    for turn in records.turns:
        replies = [row for row in of_turn.get(turn.id, ()) if row.kind == _REPLY]
        if len(replies) > 1:
            found.append(f"turn {turn.id} of {turn.message} has {len(replies)} replies")
    twice = [
        message for message, times in Counter(turn.message for turn in records.turns).items() if times > 1
    ]
    return found + [f"message {message} became two turns" for message in twice]


def _out_of_order(stories: Mapping[str, Story], took: Iterable[Taken], records: Records) -> list[str]:
    message_of = {turn.id: turn.message for turn in records.turns}
    turn_of = {row.id: row.turn for row in records.outbox if row.kind == _REPLY}
    last: dict[str, tuple[int, str]] = {}
    found = []
    for taken in took:
        message = message_of.get(turn_of.get(taken.outbound, ""), "")
        if message not in stories:
            continue
        text = stories[message].text
        number, before = last.get(text.sender, (-1, ""))
        if text.number < number:
            found.append(f"{message} went out after {before}")
        else:
            last[text.sender] = (text.number, message)
    return found


def table(
    account: Account,
    *,
    accepted: int,
    over_messenger: int,
    copies: int,
    refusals: int,
    faults: int,
    ended: int,
    more: Sequence[tuple[str, int]] = (),
) -> str:
    """The count, a line each."""
    lines = [
        ("accepted (HTTP 200)", accepted),
        ("  of them over Messenger", over_messenger),
        *((f"  {name}", len(ids)) for name, ids in account.classes.items()),
        ("sent twice", len(account.duplicates)),
        ("out of order", len(account.out_of_order)),
        ("sent and not on record", len(account.strangers)),
        *more,
        ("status or echo taken for a message", len(account.not_said_by_customers)),
        ("copies delivered to us", copies),
        ("webhook calls not accepted", refusals),
        ("faults", faults),
        ("processes that ended by themselves", ended),
    ]
    return "\n".join(f"{name:38} {number:8}" for name, number in lines)
