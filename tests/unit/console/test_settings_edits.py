"""Edits of settings: what differs, how two people's changes meet, what a browser keeps of them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from metachat.escalation.v1.policy_pb2 import Policy
from metachat.escalation.v1.settings_pb2 import (
    BusinessHours,
    ConfidenceEscalationSettings,
    HandoverSettings,
    LlmSettings,
    MessageSettings,
    TenantSettings,
    WeekSpan,
)

from services.console.pages.settings import edits as rules
from services.console.pages.settings.edits import Conflict, Edits, paths_of_json, read, write
from services.console.pages.settings.wording import label, number, percent, value
from services.console.texts import texts_of

MODE = "confidence_escalation.mode"
IMMEDIATE = "confidence_escalation.immediate_escalation_threshold"
WORDS = "human_handoff_keywords"
SPANS = "handover.business_hours.spans"


def settings() -> TenantSettings:
    return TenantSettings(
        brand_name="Metrica",
        human_handoff_keywords=["boss"],
        confidence_escalation=ConfidenceEscalationSettings(mode=Policy.STRICT),
        handover=HandoverSettings(
            business_hours=BusinessHours(spans=[WeekSpan(weekday=1, until="17:00", **{"from": "09:00"})])
        ),
        messages=MessageSettings(handoff="", handoff_by_reason={"keyword": "One moment."}),
        llm=LlmSettings(model="m", api_key="never", api_key_set=True),
    )


def test_leaves_are_every_field_but_the_secret_ones() -> None:
    leaves = rules.leaves()
    assert {MODE, IMMEDIATE, WORDS, SPANS, "messages.handoff_by_reason", "llm.model"} <= set(leaves)
    assert not {"llm.api_key", "llm.api_key_set"} & set(leaves)


def test_reading_and_writing_are_inverse_for_every_leaf() -> None:
    one, copy = settings(), TenantSettings()
    for path in rules.leaves():
        write(copy, path, read(one, path))
    bare = Edits(one, "").base
    assert copy.SerializeToString(deterministic=True) == bare.SerializeToString(deterministic=True)
    for path in rules.leaves():
        write(copy, path, None)
        assert read(copy, path) is None


def test_nothing_differs_at_first_and_reading_changes_nothing() -> None:
    edits = Edits(settings(), "1")
    for path in rules.leaves():
        read(edits.edited, path)
    assert (edits.count, list(edits.mask().paths), edits.to_text()) == (0, [], "")


def test_changes_make_the_mask_of_a_request() -> None:
    edits = Edits(settings(), "1")
    write(edits.edited, MODE, None)
    write(edits.edited, WORDS, ("boss", "chief"))
    edits.api_key = "new"
    assert [(c.path, c.before, c.after) for c in edits.changes()] == [
        (WORDS, ("boss",), ("boss", "chief")),
        (MODE, Policy.STRICT, None),
    ]
    assert list(edits.mask().paths) == [f"settings.{WORDS}", f"settings.{MODE}", "settings.llm.api_key"]
    assert edits.to_send().llm.api_key == "new"
    assert "new" not in edits.to_text()
    edits.discard()
    assert edits.count == 0


def test_an_empty_text_is_not_the_default() -> None:
    edits = Edits(settings(), "1")
    assert read(edits.edited, "messages.handoff") == ""
    write(edits.edited, "messages.handoff", None)
    assert [change.path for change in edits.changes()] == ["messages.handoff"]


def test_somebody_elses_changes_come_in_and_ones_own_stay() -> None:
    edits = Edits(settings(), "1")
    write(edits.edited, MODE, Policy.LENIENT)
    write(edits.edited, "brand_name", "Mine")
    theirs = settings()
    theirs.tone = "friendly"
    theirs.brand_name = "Theirs"
    assert edits.rebase(theirs, "2") == [Conflict("brand_name", "Metrica", "Mine", "Theirs")]
    assert (edits.etag, edits.edited.tone, edits.edited.brand_name) == ("2", "friendly", "Mine")
    assert [change.path for change in edits.changes()] == ["brand_name", MODE]
    edits.take("brand_name", "Theirs")
    assert [change.path for change in edits.changes()] == [MODE]


def test_the_same_change_of_two_people_is_none() -> None:
    edits = Edits(settings(), "1")
    write(edits.edited, "tone", "friendly")
    theirs = settings()
    theirs.tone = "friendly"
    assert edits.rebase(theirs, "2") == []
    assert edits.count == 0


def test_what_a_browser_kept_comes_back() -> None:
    edits = Edits(settings(), "1")
    write(edits.edited, IMMEDIATE, 0.35)
    write(edits.edited, SPANS, None)
    kept = edits.to_text()
    fresh = Edits(settings(), "1")
    assert fresh.restore(kept) == []
    assert fresh.edited == edits.edited
    # Saved meanwhile, by oneself in another window: nothing is left of it.
    saved = Edits(edits.edited, "2")
    assert saved.restore(kept) is None
    assert (saved.count, saved.etag) == (0, "2")


@given(st.text() | st.sampled_from(["{}", "[]", "null", '{"base":{},"edited":[],"etag":1}', "[" * 100_000]))
def test_rubbish_in_the_browser_is_passed_over(text: str) -> None:
    edits = Edits(settings(), "1")
    assert edits.restore(text) is None
    assert edits.count == 0


@given(st.dictionaries(st.sampled_from(["brand_name", "tone", "locale"]), st.text(max_size=8)))
def test_a_merge_without_their_changes_is_nothing(changes: dict[str, str]) -> None:
    edits = Edits(settings(), "1")
    for path, text in changes.items():
        write(edits.edited, path, text)
    before = edits.edited.SerializeToString(deterministic=True)
    assert edits.rebase(settings(), "2") == []
    assert edits.edited.SerializeToString(deterministic=True) == before


def test_audit_entries_are_read_by_the_names_of_fields() -> None:
    kept = json.loads(
        '{"name": "A", "settings": {"confidenceEscalation": {"mode": "STRICT"}, "messages": '
        '{"handoffByReason": {"keyword": "x"}}, "humanHandoffKeywords": ["a"]}, "llm.apiKey": "replaced"}'
    )
    assert dict(paths_of_json(kept)) == {
        "name": "A",
        f"settings.{MODE}": "STRICT",
        "settings.messages.handoff_by_reason": {"keyword": "x"},
        f"settings.{WORDS}": ["a"],
        "llm.api_key": "replaced",
    }
    assert list(paths_of_json(None)) == []
    # The last setting was cleared: what is left holds nothing that could have changed.
    assert list(paths_of_json({"settings": {}, "name": "Shop"})) == [("name", "Shop")]


def test_values_in_words() -> None:
    english, croatian = texts_of("en"), texts_of("hr")
    assert value(english, MODE, Policy.STRICT) == value(english, MODE, "STRICT") == "Strict"
    assert value(croatian, IMMEDIATE, 0.35) == "0,35"
    assert value(english, SPANS, read(settings(), SPANS)) == "Monday 09:00–17:00"
    assert value(english, "enable_human_handoff", False) == "off"
    assert value(english, "confidence_escalation.audit_rate", 0.02) == "2.0%"
    assert value(english, "messages.handoff", "") == "nothing is sent"
    assert value(english, "brand_name", "x" * 5_000).endswith("…")
    assert number(english, 1_000_000) == "1,000,000" and number(croatian, 1234.5) == "1\u202f234,5"
    assert percent(croatian, 0.105, 1) == "10,5\u202f%"


def test_every_field_that_can_be_edited_has_a_name() -> None:
    named = {path: label(texts_of("en"), path) for path in rules.leaves() if not path.startswith("widget")}
    assert not [path for path, name in named.items() if name == path]
