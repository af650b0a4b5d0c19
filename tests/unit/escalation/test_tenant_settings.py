import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from metachat.escalation.v1.settings_pb2 import TenantSettings

from services.common.errors import Kind, ServiceError
from services.escalation.tenants import tenant_settings
from services.escalation.tenants.tenant_settings import Mode, check, from_json, merge, to_json


def settings(**values):
    return json_format.ParseDict(values, TenantSettings())


STORED = settings(
    brandName="Metrica",
    tone="friendly",
    humanHandoffKeywords=["person", "agent"],
    confidenceEscalation={"mode": "STRICT", "suggestReviewThreshold": 0.9},
    llm={"provider": "openai", "model": "m"},
)


def merged(change, *mask, current=STORED):
    return merge(current, settings(**change), list(mask))


def test_without_a_mask_what_is_set_changes_and_the_rest_stays():
    result = merged({"tone": "", "confidenceEscalation": {"addDisclaimers": False}, "llm": {"samples": 3}})
    assert to_json(result.settings) == {
        "brandName": "Metrica",
        "tone": "",
        "humanHandoffKeywords": ["person", "agent"],
        "confidenceEscalation": {"mode": "STRICT", "suggestReviewThreshold": 0.9, "addDisclaimers": False},
        "llm": {"provider": "openai", "model": "m", "samples": 3},
    }
    assert result.api_key is None and not result.renamed


def test_a_path_that_is_named_and_not_set_is_cleared():
    result = merged(
        {"brandName": "New", "tone": "ignored"},
        "settings.brand_name",
        "settings.confidence_escalation.suggest_review_threshold",
        "settings.human_handoff_keywords",
    )
    assert to_json(result.settings) == {
        "brandName": "New",
        "tone": "friendly",
        "confidenceEscalation": {"mode": "STRICT"},
        "llm": {"provider": "openai", "model": "m"},
    }


def test_naming_a_message_replaces_it_whole():
    result = merged({"confidenceEscalation": {"addDisclaimers": True}}, "settings.confidence_escalation")
    assert to_json(result.settings)["confidenceEscalation"] == {"addDisclaimers": True}
    assert "confidenceEscalation" not in to_json(merged({}, "settings.confidence_escalation").settings)
    assert to_json(merged({}, "settings").settings) == {}


def test_lists_are_replaced_never_appended():
    assert list(merged({"humanHandoffKeywords": ["human"]}).settings.human_handoff_keywords) == ["human"]
    masked = merged({"humanHandoffKeywords": ["human"]}, "settings.human_handoff_keywords")
    assert list(masked.settings.human_handoff_keywords) == ["human"]


def test_neither_side_of_a_merge_is_changed():
    current, change = settings(tone="a"), settings(tone="b", llm={"apiKey": "k"})
    merge(current, change, None)
    assert current == settings(tone="a") and change == settings(tone="b", llm={"apiKey": "k"})


@pytest.mark.parametrize(
    "path",
    ["settings.nothing", "settings.llm.nothing", "settings.tone.deeper", "nothing", "", "settings.", "name.x",
     "settings.human_handoff_keywords.0", "settings.brandName"],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_refused_by_its_place(path):
    with pytest.raises(ServiceError) as refused:
        merged({}, "settings.tone", path)
    assert refused.value.kind is Kind.INVALID
    assert refused.value.fields[0].field == "update_mask.paths[1]"


def test_what_names_the_request_itself_is_passed_over():
    assert merged({}, "tenant_id", "etag", "request_id", "settings.llm.api_key_set").settings == STORED
    assert merged({}, "name").renamed


@pytest.mark.parametrize(
    "change, mask, expected",
    [
        ({"llm": {"apiKey": "new"}}, [], "new"),
        ({"llm": {"apiKey": ""}}, [], ""),
        ({"llm": {"model": "other"}}, [], None),
        ({}, ["settings.llm.api_key"], ""),
        ({"llm": {"apiKey": "new"}}, ["settings.llm.api_key"], "new"),
        ({"llm": {"apiKey": "new"}}, ["settings.llm.model"], None),
        ({"llm": {"model": "other"}}, ["settings.llm"], None),
        ({"llm": {"apiKey": "new"}}, ["settings.llm"], "new"),
        ({}, ["settings.llm"], ""),
        ({}, ["settings"], ""),
        ({"llm": {"model": "other"}}, ["settings"], None),
        ({"llm": {"apiKey": "new"}}, ["settings"], "new"),
    ],
)
def test_the_api_key_is_kept_unless_it_is_meant(change, mask, expected):
    result = merged(change, *mask)
    assert result.api_key == expected
    assert not result.settings.llm.HasField("api_key")


@pytest.mark.parametrize("key", ["sk-\u00a0secret", "sk-a\nb", " \t"])
def test_an_api_key_that_no_header_can_carry_is_refused_without_being_shown(key):
    with pytest.raises(ServiceError) as refused:
        merged({"llm": {"apiKey": key}})
    assert refused.value.kind is Kind.INVALID and "settings.llm.api_key" in str(refused.value.fields)
    assert "secret" not in str(refused.value) + str(refused.value.fields)


def test_white_space_around_an_api_key_is_taken_off():
    assert merged({"llm": {"apiKey": " sk-1\n"}}).api_key == "sk-1"


def test_no_secret_enters_the_stored_json():
    stored = to_json(settings(llm={"apiKey": "sk-1", "apiKeySet": True, "model": "m"}))
    assert stored == {"llm": {"model": "m"}}
    assert to_json(settings(llm={"apiKey": "sk-1"})) == {}


def test_the_stored_json_has_the_names_operators_query():
    assert to_json(STORED)["confidenceEscalation"] == {"mode": "STRICT", "suggestReviewThreshold": 0.9}


def test_stored_json_is_read_back_in_either_case_and_past_later_fields():
    read = from_json(
        {
            "brandName": "M",
            "later": 1,
            "confidenceEscalation": {"mode": "strict", "selfAssessmentStrategy": "chain_of_thought"},
        }
    )
    assert read.brand_name == "M"
    assert read.confidence_escalation.mode == Mode.STRICT
    assert read.confidence_escalation.self_assessment_strategy == tenant_settings.Strategy.CHAIN_OF_THOUGHT
    with pytest.raises(ValueError):
        from_json({"brandName": 7})


def test_unspecified_means_not_set():
    result = merged({"confidenceEscalation": {"mode": "MODE_UNSPECIFIED"}})
    assert not result.settings.confidence_escalation.HasField("mode")


@pytest.mark.parametrize(
    "escalation, shown",
    [
        ({"immediateEscalationThreshold": 0.7, "suggestReviewThreshold": 0.4}, ("0.7", "0.4")),
        ({"immediateEscalationThreshold": 0.7}, ("0.7", "0.6")),
        ({"suggestReviewThreshold": 0.2}, ("0.3", "0.2")),
        ({"mode": "STRICT", "suggestReviewThreshold": 0.45}, ("0.5", "0.45")),
        ({"mode": "LENIENT", "immediateEscalationThreshold": 0.5}, ("0.5", "0.4")),
    ],
)
def test_thresholds_out_of_order_are_refused_with_both_fields_and_values(escalation, shown):
    with pytest.raises(ServiceError) as refused:
        check(settings(confidenceEscalation=escalation))
    assert refused.value.kind is Kind.INVALID
    assert [fault.field for fault in refused.value.fields] == [
        "settings.confidence_escalation.immediate_escalation_threshold",
        "settings.confidence_escalation.suggest_review_threshold",
    ]
    assert all(value in refused.value.message for value in shown)
    assert tuple(refused.value.metadata.values()) == shown


@pytest.mark.parametrize(
    "escalation",
    [
        {},
        {"immediateEscalationThreshold": 0.6},
        {"immediateEscalationThreshold": 1, "suggestReviewThreshold": 1},
        {"immediateEscalationThreshold": 0, "suggestReviewThreshold": 0},
        {"mode": "STRICT", "suggestReviewThreshold": 0.5},
    ],
)
def test_thresholds_in_order_are_accepted(escalation):
    check(settings(confidenceEscalation=escalation))


@given(
    st.sampled_from([None, "LENIENT", "STANDARD", "STRICT"]),
    st.none() | st.floats(0, 1),
    st.none() | st.floats(0, 1),
)
def test_a_change_is_refused_exactly_when_immediate_is_above_review(mode, immediate, review):
    escalation = {"mode": mode, "immediateEscalationThreshold": immediate, "suggestReviewThreshold": review}
    given_settings = settings(confidenceEscalation={k: v for k, v in escalation.items() if v is not None})
    low, high = tenant_settings.thresholds_of(given_settings)
    assert (low, high) == (
        immediate if immediate is not None else {"LENIENT": 0.2, "STRICT": 0.5}.get(mode, 0.3),
        review if review is not None else {"LENIENT": 0.4, "STRICT": 0.75}.get(mode, 0.6),
    )
    if low <= high:
        check(given_settings)
    else:
        with pytest.raises(ServiceError):
            check(given_settings)


@pytest.mark.parametrize(
    "values, field",
    [
        ({"locale": "not a locale"}, "settings.locale"),
        ({"humanHandoffKeywords": ["agent", "  "]}, "settings.human_handoff_keywords[1]"),
        (
            {"confidenceEscalation": {"highStakesDomains": ["\t"]}},
            "settings.confidence_escalation.high_stakes_domains[0]",
        ),
        ({"humanHandoffKeywords": ["x" * 600_000]}, "settings"),
        ({"messages": {"handoff": "a\0b"}}, "settings.messages.handoff"),
        ({"humanHandoffKeywords": ["a", "b\0"]}, "settings.human_handoff_keywords[1]"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(values, field):
    with pytest.raises(ServiceError) as refused:
        check(settings(**values))
    assert refused.value.fields[0].field == field
    assert field in refused.value.message


def test_defaults_fill_what_is_unset_and_nothing_else():
    full = tenant_settings.with_defaults(settings(enableHumanHandoff=False, llm={"model": "m"}))
    assert full.enable_human_handoff is False
    assert (full.locale, full.llm.provider, full.llm.model, full.llm.timeout_seconds) == (
        "en",
        "knowledge",
        "m",
        30,
    )
    assert full.confidence_escalation.enabled and full.confidence_escalation.mode == Mode.STANDARD
    assert full.confidence_escalation.add_disclaimers and full.confidence_escalation.detect_urgency
    assert not full.confidence_escalation.HasField("immediate_escalation_threshold")
    assert not full.confidence_escalation.HasField("without_score")


TEXTS = st.none() | st.text(max_size=10)


@given(TEXTS, TEXTS, st.lists(st.text(min_size=1, max_size=5), max_size=3), TEXTS, st.none() | st.booleans())
def test_json_round_trip(brand, tone, keywords, model, enabled):
    given_settings = TenantSettings(brand_name=brand, tone=tone, human_handoff_keywords=keywords)
    if model is not None:
        given_settings.llm.model = model
    if enabled is not None:
        given_settings.confidence_escalation.enabled = enabled
    assert from_json(to_json(given_settings)) == given_settings
    assert merge(given_settings, TenantSettings(), None).settings == given_settings
    assert merge(TenantSettings(), given_settings, None).settings == given_settings
