"""What a tenant sets: merging a change, checking it, defaults, and the JSON that the database keeps; pure.

The settings are the proto message TenantSettings. Two fields of it never enter the stored JSON:
`llm.api_key`, which is kept apart, encrypted, and `llm.api_key_set`, which only says whether there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from metachat.confidence.v1 import confidence_pb2
from metachat.escalation.v1 import policy_pb2, settings_pb2

from services.common.errors import FieldFault, Kind, ServiceError, invalid_field
from services.escalation import policy
from services.escalation.handoffs import business_hours
from services.escalation.secrets.headers import header_token
from services.escalation.verdicts.sampling import DEFAULT_RATE

TenantSettings = settings_pb2.TenantSettings
Mode = policy_pb2.Policy.Mode
Strategy = confidence_pb2.BuildInstructionsRequest.Strategy

API_KEY: Final = "llm.apiKey"  # name of the secret, apart from the settings
DEFAULT_LOCALE: Final = "en"
DEFAULT_PROVIDER: Final = "knowledge"
DEFAULT_TIMEOUT_SECONDS: Final = 30.0
DEFAULT_WAITING_MINUTES: Final = 15.0
MAX_STORED_BYTES: Final = 512 * 1024

_ESCALATION: Final = "settings.confidence_escalation"
_IMMEDIATE: Final = f"{_ESCALATION}.immediate_escalation_threshold"
_REVIEW: Final = f"{_ESCALATION}.suggest_review_threshold"
_LOCALE: Final = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")
# Fields of UpdateTenantRequest that say whom and how, not what; REST names them in the mask with the rest of
# the body.
_NOT_CHANGED: Final = frozenset({"tenant_id", "etag", "request_id", "update_mask"})
_OUTPUT_ONLY: Final = frozenset({"llm.api_key_set"})
_WRITE_ONLY: Final = "llm.api_key"


@dataclass(frozen=True, slots=True)
class Merged:
    """What a change makes of the settings.

    `settings` is complete and without secrets. `api_key`: None = keep what is stored, "" = forget it, else
    the new one. `renamed`: whether the change names the tenant's name (in a mask, or by setting it).
    """

    settings: TenantSettings
    api_key: str | None
    renamed: bool


def merge(
    current: TenantSettings, change: TenantSettings, mask: Sequence[str] | None, *, name_given: bool = False
) -> Merged:
    """Apply `change` to `current` field by field; neither is changed.

    `mask` holds paths below UpdateTenantRequest ("settings.llm.model"): a path that is named is taken over,
    and cleared where the change leaves it unset; a path of a message takes over the whole message. None (or
    empty) = every field that is set in the change is taken over. The API key is written only: replacing the
    message around it keeps it, clearing that message forgets it. Raises ServiceError(INVALID) for a path that
    leads nowhere.
    """
    merged = TenantSettings()
    merged.CopyFrom(current)
    renamed = name_given
    touched_key = change.llm.HasField("api_key")
    if mask:
        renamed = False
        touched_key = False
        for index, path in enumerate(mask):
            head, *steps = path.split(".")
            if path == "name":
                renamed = True
            elif head == "settings":
                touched_key |= _take_over(merged, change, steps, f"update_mask.paths[{index}]", path)
            elif path not in _NOT_CHANGED:
                raise invalid_field(f"update_mask.paths[{index}]", f"there is no field {path!r}")
    else:
        _merge_set_fields(merged, change)
    api_key = header_token(change.llm.api_key, "settings.llm.api_key") if touched_key else None
    _drop_secrets(merged)
    _drop_empty(merged)
    return Merged(settings=merged, api_key=api_key, renamed=renamed)


def _take_over(merged: Message, change: Message, steps: Sequence[str], field: str, path: str) -> bool:
    """Take one path over; gives whether the API key was named or cleared by it."""
    if ".".join(steps) in _OUTPUT_ONLY:
        return False
    at_merged, at_change = merged, change
    for step in steps[:-1]:
        descriptor = _field(at_merged, step)
        if descriptor is None or descriptor.message_type is None or descriptor.is_repeated:
            raise invalid_field(field, f"there is no field {path!r}")
        at_merged, at_change = getattr(at_merged, step), getattr(at_change, step)
    if not steps:
        set_key = change.llm.HasField("api_key")  # type: ignore[attr-defined] # any message
        cleared = not change.HasField("llm")
        merged.CopyFrom(change)
        return bool(set_key or cleared)
    last = steps[-1]
    descriptor = _field(at_merged, last)
    if descriptor is None:
        raise invalid_field(field, f"there is no field {path!r}")
    given = bool(getattr(at_change, last)) if descriptor.is_repeated else at_change.HasField(last)
    at_merged.ClearField(last)
    if given:
        _copy_field(at_merged, at_change, descriptor)
    named = ".".join(steps)
    if named == "llm":
        return not given or bool(change.llm.HasField("api_key"))  # type: ignore[attr-defined] # any message
    return named == _WRITE_ONLY


def _field(message: Message, name: str) -> FieldDescriptor | None:
    found: FieldDescriptor | None = message.DESCRIPTOR.fields_by_name.get(name)  # type: ignore[assignment]
    return found


def _merge_set_fields(merged: Message, change: Message) -> None:
    for descriptor, value in change.ListFields():
        if descriptor.is_repeated or descriptor.message_type is None:
            merged.ClearField(descriptor.name)
            _copy_field(merged, change, descriptor)
        else:
            _merge_set_fields(getattr(merged, descriptor.name), value)


def _copy_field(target: Message, source: Message, descriptor: FieldDescriptor) -> None:
    value = getattr(source, descriptor.name)
    if descriptor.is_repeated:
        getattr(target, descriptor.name).extend(value)
    elif descriptor.message_type is not None:
        getattr(target, descriptor.name).CopyFrom(value)
    else:
        setattr(target, descriptor.name, value)


def _drop_secrets(settings: TenantSettings) -> None:
    settings.llm.ClearField("api_key")
    settings.llm.ClearField("api_key_set")


def _drop_empty(settings: TenantSettings) -> None:
    """Leave no empty message and no UNSPECIFIED behind: both mean "not set"."""
    for descriptor in _submessages(TenantSettings.DESCRIPTOR):
        part: Message = getattr(settings, descriptor.name)
        for field, value in part.ListFields():
            if field.enum_type is not None and not field.is_repeated and value == 0:
                part.ClearField(field.name)
        if not part.ListFields():
            settings.ClearField(descriptor.name)  # type: ignore[arg-type] # a name of its descriptor


def _submessages(descriptor: Descriptor) -> Iterable[FieldDescriptor]:
    return (field for field in descriptor.fields if field.message_type is not None and not field.is_repeated)


def thresholds_of(settings: TenantSettings) -> tuple[float, float]:
    """(immediate, review): the tenant's overrides, else those of its mode."""
    given = settings.confidence_escalation
    default = policy.MODE_THRESHOLDS[policy.Mode(_mode_name(settings))]
    immediate, review = default.immediate, default.review
    if given.HasField("immediate_escalation_threshold"):
        immediate = given.immediate_escalation_threshold
    if given.HasField("suggest_review_threshold"):
        review = given.suggest_review_threshold
    return immediate, review


def _mode_name(settings: TenantSettings) -> str:
    return str(policy_pb2.Policy.Mode.Name(settings.confidence_escalation.mode or Mode.STANDARD))


def check(settings: TenantSettings) -> None:
    """Raise ServiceError(INVALID) unless the settings as a whole make sense; call it after the merge.

    Rules of single fields stand in the proto. Here are those that need more than one field, or the language.
    """
    faults: list[FieldFault] = []
    metadata: dict[str, str] = {}
    immediate, review = thresholds_of(settings)
    if immediate > review:
        given = settings.confidence_escalation
        whose = f"the default of mode {_mode_name(settings)}"
        shown = {
            _IMMEDIATE: (
                immediate,
                "" if given.HasField("immediate_escalation_threshold") else f" ({whose})",
            ),
            _REVIEW: (review, "" if given.HasField("suggest_review_threshold") else f" ({whose})"),
        }
        low, high = shown[_IMMEDIATE], shown[_REVIEW]
        sentence = (
            f"immediateEscalationThreshold {low[0]:g}{low[1]} must not be above "
            f"suggestReviewThreshold {high[0]:g}{high[1]}"
        )
        faults += [FieldFault(_IMMEDIATE, sentence), FieldFault(_REVIEW, sentence)]
        metadata = {"immediateEscalationThreshold": f"{immediate:g}", "suggestReviewThreshold": f"{review:g}"}
    if settings.locale and not _LOCALE.fullmatch(settings.locale):
        faults.append(FieldFault("settings.locale", "write a language tag like en, de-AT or hr"))
    for path, phrases in (
        ("settings.human_handoff_keywords", settings.human_handoff_keywords),
        (f"{_ESCALATION}.high_stakes_domains", settings.confidence_escalation.high_stakes_domains),
    ):
        faults += [
            FieldFault(f"{path}[{i}]", "is blank") for i, text in enumerate(phrases) if not text.strip()
        ]
    faults += business_hours.faults(settings.handover.business_hours)
    faults += [
        FieldFault(path, "must not contain the character NUL") for path in _with_nul(settings, "settings")
    ]
    if settings.ByteSize() > MAX_STORED_BYTES:
        faults.append(
            FieldFault("settings", f"must not be larger than {MAX_STORED_BYTES // 1024} KiB together")
        )
    if faults:
        raise ServiceError(
            Kind.INVALID,
            faults[0].description if metadata else _sentence(faults[0]),
            fields=tuple(faults),
            metadata=metadata,
        )


def _with_nul(message: Message, path: str) -> Iterable[str]:
    """Paths of texts that PostgreSQL cannot store."""
    for descriptor, value in message.ListFields():
        at = f"{path}.{descriptor.name}"
        if isinstance(value, Message):
            yield from _with_nul(value, at)
        elif isinstance(value, str):
            if "\0" in value:
                yield at
        elif isinstance(value, Mapping):
            yield from (f"{at}[{key!r}]" for key, text in value.items() if "\0" in f"{key}{text}")
        elif descriptor.is_repeated:
            for i, item in enumerate(value):
                if isinstance(item, Message):
                    yield from _with_nul(item, f"{at}[{i}]")
                elif isinstance(item, str) and "\0" in item:
                    yield f"{at}[{i}]"


def _sentence(fault: FieldFault) -> str:
    return f"{fault.field}: {fault.description}"


def with_defaults(settings: TenantSettings) -> TenantSettings:
    """A copy in which every field with a fixed default is set.

    Left unset: thresholds and `without_score` (they follow from the mode), texts (they follow from the
    locale), and what a responder needs only if it is asked for (base address, model, key).
    """
    full = TenantSettings(
        locale=DEFAULT_LOCALE,
        enable_human_handoff=True,
        confidence_escalation=settings_pb2.ConfidenceEscalationSettings(
            enabled=True,
            mode=Mode.STANDARD,
            add_disclaimers=True,
            self_assessment_strategy=Strategy.EXPLICIT_MARKER,
            detect_urgency=True,
            detect_frustration=True,
            audit_rate=DEFAULT_RATE,
        ),
        llm=settings_pb2.LlmSettings(
            provider=DEFAULT_PROVIDER, samples=0, timeout_seconds=DEFAULT_TIMEOUT_SECONDS
        ),
        handover=settings_pb2.HandoverSettings(
            waiting_timeout_minutes=DEFAULT_WAITING_MINUTES, ask_for_email=True
        ),
    )
    full.MergeFrom(settings)
    if not full.locale:
        full.locale = DEFAULT_LOCALE
    return full


def to_json(settings: TenantSettings) -> dict[str, Any]:
    """The settings as `tenants.settings` keeps them: camelCase names, enums as words, no secret, nothing
    unset.
    """
    bare = TenantSettings()
    bare.CopyFrom(settings)
    _drop_secrets(bare)
    _drop_empty(bare)
    return dict(json_format.MessageToDict(bare))


def from_json(stored: Mapping[str, Any]) -> TenantSettings:
    """The inverse of `to_json`. Fields of a newer version are passed over; enums may be in lower case.

    Raises ValueError for what is no settings object.
    """
    settings = TenantSettings()
    escalation = stored.get("confidenceEscalation")
    if isinstance(escalation, Mapping):
        raised = {
            name: value.upper() if name in _ENUMS and isinstance(value, str) else value
            for name, value in escalation.items()
        }
        stored = {**stored, "confidenceEscalation": raised}
    try:
        json_format.ParseDict(dict(stored), settings, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise ValueError(f"stored settings cannot be read: {error}") from error
    _drop_secrets(settings)
    _drop_empty(settings)
    return settings


_ENUMS: Final = frozenset({"mode", "selfAssessmentStrategy", "withoutScore"})
