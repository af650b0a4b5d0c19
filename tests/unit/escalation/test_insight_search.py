"""Where the turns behind a figure are: no quarter of an hour that has some is left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.escalation.insights.counts import QUARTERS, DayCounts, Group, Span
from services.escalation.insights.search import Wanted, runs

GROUPS = st.lists(
    st.builds(
        Group,
        channel=st.sampled_from(["webchat", "whatsapp"]),
        action=st.sampled_from(["CONTINUE", "IMMEDIATE_ESCALATION", ""]),
        reason=st.sampled_from(["", "low_confidence"]),
        loudest=st.sampled_from(["", "grounding"]),
        bin=st.one_of(st.none(), st.integers(0, 49)),
        turns=st.integers(1, 5),
        stage=st.sampled_from(["on", "shadow"]),
        shadow_action=st.sampled_from(["", "SUGGEST_REVIEW"]),
    ),
    max_size=3,
)
SLOTS = st.dictionaries(st.integers(0, QUARTERS - 1), GROUPS, max_size=12)
BOUND = st.one_of(st.none(), st.integers(0, 50).map(lambda number: number / 50))
WANTED = st.builds(
    Wanted,
    actions=st.frozensets(st.sampled_from(["CONTINUE", ""]), max_size=2),
    reason=st.sampled_from([None, "", "low_confidence"]),
    channel=st.sampled_from(["", "webchat"]),
    score_from=BOUND,
    score_to=BOUND,
    loudest_signal=st.sampled_from(["", "grounding"]),
    stage=st.sampled_from(["", "shadow"]),
    shadow_action=st.sampled_from(["", "SUGGEST_REVIEW"]),
)


def fits(group: Group, wanted: Wanted) -> bool:
    """Whether a turn of the group may be wanted, told without counts."""
    score = None if group.bin is None else (group.bin + 0.5) / 50
    return (
        (not wanted.actions or group.action in wanted.actions)
        and (wanted.reason is None or group.reason == wanted.reason)
        and (not wanted.channel or group.channel == wanted.channel)
        and wanted.score_fits(score)
        and (not wanted.loudest_signal or group.loudest == wanted.loudest_signal)
        and (not wanted.stage or group.stage == wanted.stage)
        and (not wanted.shadow_action or group.shadow_action == wanted.shadow_action)
    )


@given(SLOTS, SLOTS, WANTED, st.integers(0, 60), st.integers(0, 150))
def test_no_quarter_with_such_turns_is_left_out(
    today: dict[int, list[Group]], later: dict[int, list[Group]], wanted: Wanted, first: int, length: int
) -> None:
    days = []
    for begin, slots in ((0, today), (QUARTERS, later)):
        counts = DayCounts()
        for slot, groups in slots.items():
            counts.put(slot, groups)
        days.append((begin, counts))
    span = Span(first, first + length)
    found = list(runs(days, span, wanted))
    covered = [quarter for run in found for quarter in range(run.span.first, run.span.end)]
    assert len(covered) == len(set(covered))
    assert covered == [] or (min(covered) >= span.first and max(covered) < span.end)
    assert [run.span.end for run in found] == sorted((run.span.end for run in found), reverse=True)
    assert all(run.turns > 0 and run.span.end - run.span.first <= QUARTERS for run in found)
    for begin, slots in ((0, today), (QUARTERS, later)):
        for slot, groups in slots.items():
            quarter = begin + slot
            if span.first <= quarter < span.end and any(fits(group, wanted) for group in groups):
                assert quarter in covered


def test_a_score_of_one_is_in_the_last_band() -> None:
    band = Wanted(score_from=0.98, score_to=1.0)
    assert band.score_fits(1.0)
    assert band.score_fits(0.98)
    assert not band.score_fits(0.97)
    assert not Wanted(score_to=0.98).score_fits(0.98)
    assert not band.score_fits(None)
    assert Wanted().score_fits(None)
