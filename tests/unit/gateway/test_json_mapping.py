"""The JSON codec against google.protobuf.json_format, and on what callers get wrong."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from metachat.channel.v1 import channel_pb2
from metachat.chat.v1 import chat_pb2
from metachat.confidence.v1 import confidence_pb2
from metachat.escalation.v1 import (
    conversation_pb2,
    escalation_pb2,
    event_pb2,
    handoff_pb2,
    insight_pb2,
    knowledge_pb2,
    policy_pb2,
    settings_pb2,
    tenant_pb2,
    user_pb2,
    webhook_pb2,
)

from services.common.errors import Kind, ServiceError
from services.gateway.json_mapping import JsonMapping, MessageCodec
from tests.unit.gateway import messages as random_messages

EVERYTHING = random_messages.everything_file().message_types_by_name["Everything"]
TYPES = [
    *random_messages.all_messages(
        *(
            module.DESCRIPTOR
            for module in (
                channel_pb2,
                chat_pb2,
                confidence_pb2,
                conversation_pb2,
                escalation_pb2,
                event_pb2,
                handoff_pb2,
                insight_pb2,
                knowledge_pb2,
                policy_pb2,
                settings_pb2,
                tenant_pb2,
                user_pb2,
                webhook_pb2,
            )
        )
    ),
    EVERYTHING,
]
MAPPING = JsonMapping()


def codec_of(message: Any) -> MessageCodec:
    return MAPPING.codec(message.DESCRIPTOR)


@pytest.mark.parametrize("descriptor", TYPES, ids=lambda descriptor: descriptor.full_name)
@pytest.mark.parametrize("seed", range(4))
def test_both_ways_equal_json_format(descriptor: Any, seed: int) -> None:
    message = random_messages.random_message(descriptor, seed)
    codec = MAPPING.codec(descriptor)
    ours = orjson.loads(codec.print(message))
    theirs = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    assert ours == orjson.loads(orjson.dumps(theirs))
    assert codec.parse(codec.print(message)) == message
    # What json_format writes we read, under either kind of name.
    for original in (False, True):
        text = json_format.MessageToJson(message, preserving_proto_field_name=original)
        assert codec.parse(text.encode()) == message
    assert json_format.Parse(codec.print(message), codec.message_class()) == message


def test_false_and_zero_are_printed_and_what_does_not_exist_is_left_out() -> None:
    response = chat_pb2.ChatResponse(
        message="",
        metadata=chat_pb2.ChatMetadata(
            handled_by="assistant",
            confidence_escalation=chat_pb2.ConfidenceEscalation(
                action=policy_pb2.Decision.IMMEDIATE_ESCALATION, confidence_score=0.0
            ),
        ),
    )
    assert orjson.loads(codec_of(response).print(response)) == {
        "message": "",
        "conversationId": "",
        "messageId": "",
        "metadata": {
            "handledBy": "assistant",
            "confidenceEscalation": {
                "enabled": False,
                "escalated": False,
                "action": "IMMEDIATE_ESCALATION",
                "confidenceScore": 0.0,
            },
        },
    }


def test_an_unknown_number_of_an_enum_is_printed_as_the_number() -> None:
    handoff = conversation_pb2.Conversation(status=77)  # type: ignore[arg-type]
    assert codec_of(handoff).encode(handoff)["status"] == 77


def test_numbers_keep_their_shortest_form() -> None:
    codec = MAPPING.codec(EVERYTHING)
    message = codec.parse(b'{"aFloat": 0.1, "aDouble": 0.1, "aInt64": 9007199254740993}')
    printed = codec.print(message)
    assert b'"aFloat":0.1,' in printed
    assert b'"aDouble":0.1,' in printed
    assert b'"aInt64":"9007199254740993"' in printed


def test_what_has_no_number_in_json_is_printed_as_a_word() -> None:
    codec = MAPPING.codec(EVERYTHING)
    message = codec.message_class(a_double=float("nan"), many_double=[float("inf"), float("-inf"), 1.5])
    printed = orjson.loads(codec.print(message))
    assert printed["aDouble"] == "NaN"
    assert printed["manyDouble"] == ["Infinity", "-Infinity", 1.5]


@pytest.mark.parametrize(
    ("written", "mode"),
    [('"standard"', 2), ('"STANDARD"', 2), ('"Strict"', 3), ("1", 1), ("1.0", 1), ('"mode_unspecified"', 0)],
)
def test_enums_are_read_by_name_in_any_case_or_by_number(written: str, mode: int) -> None:
    codec = codec_of(settings_pb2.ConfidenceEscalationSettings)
    assert codec.parse(f'{{"mode": {written}}}'.encode()).mode == mode


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ('{"aInt64": "-9223372036854775808"}', "a_int64", -(2**63)),
        ('{"aUint64": "18446744073709551615"}', "a_uint64", 2**64 - 1),
        ('{"aInt32": 5.0}', "a_int32", 5),
        ('{"aInt32": 1e3}', "a_int32", 1000),
        ('{"aDouble": "1.5e3"}', "a_double", 1500.0),
        ('{"aDouble": 3}', "a_double", 3.0),
        ('{"aBytes": "_-8"}', "a_bytes", b"\xff\xef"),
        ('{"aBytes": "/+8="}', "a_bytes", b"\xff\xef"),
        ('{"a_string": "x"}', "a_string", "x"),
        ('{"aString": null}', "a_string", ""),
        ('{"from": 4}', "from", 4),
    ],
)
def test_every_form_of_a_value_is_read(written: str, field: str, value: object) -> None:
    assert getattr(MAPPING.codec(EVERYTHING).parse(written.encode()), field) == value


BAD_VALUES = [
    (
        '{"settings": {"confidenceEscalation": {"mode": "severe"}}}',
        "settings.confidenceEscalation.mode",
        "one of",
    ),
    ('{"settings": {"confidence_escalation": {"mode": 9}}}', "settings.confidence_escalation.mode", "one of"),
    ('{"settings": {"llm": {"maxTokens": "many"}}}', "settings.llm.maxTokens", "whole number"),
    ('{"settings": {"llm": {"maxTokens": 1.5}}}', "settings.llm.maxTokens", "whole number"),
    ('{"settings": {"llm": {"maxTokens": 2147483648}}}', "settings.llm.maxTokens", "out of range"),
    ('{"settings": {"llm": {"maxTokens": true}}}', "settings.llm.maxTokens", "whole number"),
    ('{"settings": {"llm": {"temperature": "NaN"}}}', "settings.llm.temperature", "number"),
    ('{"settings": {"llm": {"temperature": "Infinity"}}}', "settings.llm.temperature", "number"),
    ('{"settings": {"llm": {"temperature": "1e999"}}}', "settings.llm.temperature", "out of range"),
    ('{"settings": {"brandName": 7}}', "settings.brandName", "string"),
    ('{"settings": {"enableHumanHandoff": "true"}}', "settings.enableHumanHandoff", "true or false"),
    ('{"settings": {"humanHandoffKeywords": "agent"}}', "settings.humanHandoffKeywords", "array"),
    ('{"settings": {"humanHandoffKeywords": ["a", 2]}}', "settings.humanHandoffKeywords[1]", "string"),
    ('{"settings": {"humanHandoffKeywords": ["a", null]}}', "settings.humanHandoffKeywords[1]", "null"),
    ('{"settings": ["x"]}', "settings", "object"),
    ('{"settings": {"colour": "red"}}', "settings.colour", "not a field"),
    ('{"settings": {"": 1}}', 'settings.""', "not a field"),
    ('{"tenantId": "a", "tenant_id": "b"}', "", "both its names"),
    ('{"updateMask": 3}', "updateMask", "paths"),
    ("[1]", "", "object"),
    ('"x"', "", "object"),
    ("null", "", "object"),
]


@pytest.mark.parametrize(("text", "path", "says"), BAD_VALUES)
def test_what_does_not_fit_names_the_field_as_the_caller_wrote_it(text: str, path: str, says: str) -> None:
    with pytest.raises(ServiceError) as caught:
        codec_of(tenant_pb2.UpdateTenantRequest).parse(text.encode())
    assert caught.value.kind is Kind.INVALID
    assert says in caught.value.message
    assert [fault.field for fault in caught.value.fields] == ([path] if path else [])


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"choiceText": "x", "choiceNumber": 1}', "choiceNumber, choiceText"),
        ('{"aBytes": "?"}', "aBytes"),
        ('{"aBytes": "a"}', "aBytes"),
        ('{"aFloat": 1e39}', "aFloat"),
        ('{"aUint32": -1}', "aUint32"),
        ('{"aInt64": "9223372036854775808"}', "aInt64"),
        ('{"aInt64": 123456789012345678901234567890}', "aInt64"),
        ('{"aInt32": "١"}', "aInt32"),
        ('{"aInt32": "1_0"}', "aInt32"),
        ('{"theTimestamp": "yesterday"}', "theTimestamp"),
        ('{"theDuration": "5 minutes"}', "theDuration"),
        ('{"theDuration": 5}', "theDuration"),
        ('{"theEmpty": {"a": 1}}', "theEmpty"),
        ('{"theStruct": []}', "theStruct"),
        ('{"wrappedInt32": "x"}', "wrappedInt32"),
        ('{"int64String": {"x": "y"}}', 'int64String["x"]'),
        ('{"boolString": {"yes": "y"}}', 'boolString["yes"]'),
        ('{"stringString": {"k": null}}', 'stringString["k"]'),
        ('{"stringMessage": {"k": {"aInt32": "x"}}}', 'stringMessage["k"].aInt32'),
        ('{"others": [{}, {"others": [{"aBool": 1}]}]}', "others[1].others[0].aBool"),
    ],
)
def test_faults_of_rarer_fields(text: str, path: str) -> None:
    with pytest.raises(ServiceError) as caught:
        MAPPING.codec(EVERYTHING).parse(text.encode())
    assert [fault.field for fault in caught.value.fields] == [path]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" \n",
        b"{",
        b"{} {}",
        b"{}x",
        b'{"message": "\xff\xfe"}',
        b'{"message": "\\ud800"}',
        b'{"message": NaN}',
        b'{"message": 1e999}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"{'message': 1}",
        b"message=1",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        codec_of(chat_pb2.ChatRequest).parse(text)
    assert caught.value.kind is Kind.INVALID
    assert caught.value.message.startswith("body: is ")


def test_a_name_of_a_megabyte_is_not_sent_back() -> None:
    with pytest.raises(ServiceError) as caught:
        codec_of(chat_pb2.ChatRequest).parse(b'{"' + b"x" * 1_000_000 + b'": 1}')
    assert len(caught.value.message) < 400
    assert len(caught.value.fields[0].field) < 300


def test_deep_structs_are_refused_by_name_and_not_by_a_crash() -> None:
    def nested(depth: int) -> bytes:
        return b'{"data": {"k": ' + b"[" * depth + b"]" * depth + b"}}"

    codec = codec_of(event_pb2.Event)
    event = codec.parse(nested(20))
    assert event_pb2.Event.FromString(event.SerializeToString()) == event
    for depth in (100, 900):
        with pytest.raises(ServiceError, match=r"^data: is nested too deeply") as caught:
            codec.parse(nested(depth))
        assert caught.value.kind is Kind.INVALID


def test_deep_messages_are_refused_and_not_by_a_crash() -> None:
    codec = MAPPING.codec(EVERYTHING)
    with pytest.raises(ServiceError, match="nested too deeply"):
        codec.parse(b'{"itself":' * 1000 + b"{}" + b"}" * 1000)


def test_values_of_a_struct_come_out_as_they_went_in() -> None:
    codec = codec_of(event_pb2.Event)
    data = {"reason": "low_confidence", "score": 0.25, "list": [1, None, True, {"a": []}], "none": None}
    event = codec.parse(orjson.dumps({"data": data}))
    expected = struct_pb2.Struct()
    expected.update(data)
    assert event.data == expected
    assert orjson.loads(codec.print(event))["data"] == data


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"settings": {"confidenceEscalation": {"mode": "STRICT"}}}, ["settings.confidence_escalation.mode"]),
        (
            {"name": "M", "settings": {"brandName": None, "llm": None}},
            ["name", "settings.brand_name", "settings.llm"],
        ),
        (
            {"settings": {"human_handoff_keywords": ["a", "b"], "confidenceEscalation": {}}},
            ["settings.human_handoff_keywords"],
        ),
        ({"settings": None}, ["settings"]),
        ({}, []),
    ],
)
def test_the_paths_that_json_sets_or_clears(body: dict[str, Any], paths: list[str]) -> None:
    codec = codec_of(tenant_pb2.UpdateTenantRequest)
    codec.decode(body)
    assert codec.written_paths(body) == paths


@pytest.mark.parametrize(
    ("proto_path", "json_path"),
    [
        ("settings.confidence_escalation.mode", "settings.confidenceEscalation.mode"),
        ("settings.human_handoff_keywords[3]", "settings.humanHandoffKeywords[3]"),
        ("settings.no_such.field", "settings.no_such.field"),
        ("", ""),
    ],
)
def test_paths_of_servers_turn_into_json_names(proto_path: str, json_path: str) -> None:
    assert codec_of(tenant_pb2.UpdateTenantRequest).json_path(proto_path) == json_path


def test_paths_lead_through_lists() -> None:
    path = codec_of(confidence_pb2.ScoreRequest).json_path("token_logprobs[3].logprob")
    assert path == "tokenLogprobs[3].logprob"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_give_a_message_or_a_clean_refusal(text: bytes) -> None:
    try:
        codec_of(tenant_pb2.UpdateTenantRequest).parse(text)
    except ServiceError as error:
        assert error.kind is Kind.INVALID


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from([f.json_name for f in EVERYTHING.fields]), _JSON, max_size=6))
def test_any_json_gives_a_message_or_a_clean_refusal(value: dict[str, Any]) -> None:
    text = orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATACLASS, default=str) if _fits(value) else b""
    try:
        MAPPING.codec(EVERYTHING).parse(text)
    except ServiceError as error:
        assert error.kind is Kind.INVALID


def _fits(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
