"""Options of `metachat tenants configure` become settings and a mask, and nothing else."""

from __future__ import annotations

from metachat.confidence.v1.confidence_pb2 import BuildInstructionsRequest
from metachat.escalation.v1.policy_pb2 import Policy

from services.cli.tenants import FIELDS, changed_settings


def test_only_what_was_named_changes() -> None:
    settings, paths = changed_settings({"mode": "strict", "immediate": 0.5, "review": None, "keywords": ()})
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
    settings, _ = changed_settings({"keywords": ("boss", "manager"), "strategy": "chain_of_thought"})
    assert list(settings.human_handoff_keywords) == ["boss", "manager"]
    assert (
        settings.confidence_escalation.self_assessment_strategy == BuildInstructionsRequest.CHAIN_OF_THOUGHT
    )


def test_every_path_exists() -> None:
    from metachat.escalation.v1.settings_pb2 import TenantSettings

    for path, _ in FIELDS.values():
        descriptor = TenantSettings.DESCRIPTOR
        for name in path.split("."):
            field = descriptor.fields_by_name[name]
            descriptor = field.message_type
