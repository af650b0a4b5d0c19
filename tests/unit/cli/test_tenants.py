"""Options and files of settings become settings and a mask, and nothing else."""

from __future__ import annotations

import json

import click
import pytest
from metachat.confidence.v1.confidence_pb2 import BuildInstructionsRequest
from metachat.escalation.v1.policy_pb2 import Policy
from metachat.escalation.v1.settings_pb2 import Rollout, TenantSettings

from services.cli.tenant_settings import OPTIONS, changed_settings, read_settings


def test_only_what_was_named_changes() -> None:
    settings, paths = changed_settings({"mode": "strict", "immediate": 0.5, "review": None, "keyword": ()})
    assert settings.confidence_escalation.mode == Policy.STRICT
    assert settings.confidence_escalation.immediate_escalation_threshold == 0.5
    assert not settings.confidence_escalation.HasField("suggest_review_threshold")
    assert paths == [
        "settings.confidence_escalation.mode",
        "settings.confidence_escalation.immediate_escalation_threshold",
    ]


def test_zero_and_off_are_values() -> None:
    settings, paths = changed_settings({"immediate": 0.0, "handoff": "off", "llm_samples": 0})
    assert settings.HasField("enable_human_handoff") and not settings.enable_human_handoff
    assert settings.llm.HasField("samples")
    assert len(paths) == 3


def test_lists_replace() -> None:
    settings, _ = changed_settings({"keyword": ("boss", "manager"), "strategy": "chain_of_thought"})
    assert list(settings.human_handoff_keywords) == ["boss", "manager"]
    assert (
        settings.confidence_escalation.self_assessment_strategy == BuildInstructionsRequest.CHAIN_OF_THOUGHT
    )


def test_rollout_limits_redaction_and_disclosure_have_options() -> None:
    settings, paths = changed_settings(
        {
            "rollout": "canary",
            "canary_percent": 12.5,
            "messages_per_minute": 60,
            "redact": "on",
            "disclose_bot": "on",
        }
    )
    assert settings.confidence_escalation.rollout == Rollout(stage=Rollout.CANARY, canary_percent=12.5)
    assert (settings.limits.messages_per_minute, settings.privacy.redact) == (60, True)
    assert settings.handover.disclose_bot
    assert len(paths) == 5


def test_every_path_exists_and_no_option_twice() -> None:
    for option in OPTIONS:
        descriptor = TenantSettings.DESCRIPTOR
        for name in option.path.split("."):
            field = descriptor.fields_by_name[name]
            descriptor = field.message_type
    assert (
        len({option.flag for option in OPTIONS}) == len({option.path for option in OPTIONS}) == len(OPTIONS)
    )


def test_a_file_merges_its_leaves_and_null_clears() -> None:
    settings, paths = read_settings(
        json.dumps(
            {
                "brandName": None,
                "confidenceEscalation": {"mode": "strict", "rollout": {"stage": "SHADOW"}},
                "messages": {"handoffByReason": {"high_stakes": "A doctor will call."}},
                "humanHandoffKeywords": ["boss"],
            }
        )
    )
    assert paths == [
        "settings.brand_name",
        "settings.confidence_escalation.mode",
        "settings.confidence_escalation.rollout.stage",
        "settings.messages.handoff_by_reason",
        "settings.human_handoff_keywords",
    ]
    assert settings.confidence_escalation.mode == Policy.STRICT
    assert settings.messages.handoff_by_reason["high_stakes"] == "A doctor will call."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON"),
        ("[]", "JSON object"),
        ("{}", "JSON object"),
        ('{"brandNam": "x"}', "brandNam is no setting"),
        ('{"llm": {"modle": "x"}}', "llm.modle is no setting"),
        ('{"confidenceEscalation": {"mode": "STRICTEST"}}', "STRICTEST"),
        ('{"confidenceEscalation": 3}', "confidenceEscalation"),
    ],
)
def test_a_bad_file_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(click.BadParameter, match=says):
        read_settings(text)
