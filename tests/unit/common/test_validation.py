"""Rules of the protos, as field paths and sentences."""

from __future__ import annotations

import pytest
from buf.validate import validate_pb2
from metachat.confidence.v1 import confidence_pb2 as pb
from protovalidate import ViolationPb

from services.common import validation
from services.common.errors import Kind, ServiceError

VALID = {"user_message": "q", "reply": "a"}


def test_a_valid_message_has_no_faults() -> None:
    request = pb.ScoreRequest(**VALID)
    assert validation.violations(request) == ()
    validation.check(request)


def test_faults_carry_paths_and_a_prefix_where_the_message_is_part_of_another() -> None:
    request = pb.ScoreRequest(**VALID, passages=[pb.Passage(), pb.Passage(text="x" * 70_000)])
    (fault,) = validation.violations(request, prefix="requests[2].")
    assert fault.field == "requests[2].passages[1].text"
    assert "65536" in fault.description


def test_the_error_names_the_first_and_counts_the_rest() -> None:
    request = pb.ScoreRequest(**VALID, samples=[], high_stakes_terms=[""] * 30)
    with pytest.raises(ServiceError) as raised:
        validation.check(request)
    assert raised.value.kind is Kind.INVALID
    assert raised.value.message.startswith("high_stakes_terms[0]: ")
    assert raised.value.message.endswith(" (and 29 more)")
    assert len(raised.value.fields) == 10


def test_keys_of_maps_are_quoted() -> None:
    def subscripted(**key: object) -> str:
        path = validate_pb2.FieldPath(elements=[validate_pb2.FieldPathElement(field_name="figures", **key)])
        wire = validate_pb2.Violation(field=path).SerializeToString()
        return validation.field_path(ViolationPb.from_binary(wire))

    assert subscripted(string_key="auroc") == 'figures["auroc"]'
    assert subscripted(index=0) == "figures[0]"
    assert subscripted(bool_key=True) == "figures[true]"


def test_a_rule_on_a_whole_message_has_no_path() -> None:
    assert validation.field_path(ViolationPb()) == ""
