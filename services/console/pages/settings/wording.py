"""Numbers and settings in words of the person's language. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message
from metachat.confidence.v1.confidence_pb2 import BuildInstructionsRequest
from metachat.escalation.v1.policy_pb2 import Policy
from metachat.escalation.v1.settings_pb2 import Rollout

from services.console.texts import Texts

_ENUMS: Final[Mapping[str, tuple[str, Any]]] = {
    "confidence_escalation.mode": ("mode", Policy.Mode),
    "confidence_escalation.self_assessment_strategy": ("strategy", BuildInstructionsRequest.Strategy),
    "confidence_escalation.without_score": ("without_score", Policy.WithoutScore),
    "confidence_escalation.rollout.stage": ("stage", Rollout.Stage),
}
_THRESHOLDS: Final = frozenset(
    {
        "confidence_escalation.immediate_escalation_threshold",
        "confidence_escalation.suggest_review_threshold",
    }
)
_SIDE: Final = "widget.position"
_SHARES: Final = frozenset({"confidence_escalation.audit_rate"})
_LONGEST: Final = 300
_NARROW: Final = "\N{NARROW NO-BREAK SPACE}"


def number(texts: Texts, value: float, digits: int | None = None) -> str:
    """A number as it is written in the language; `digits` after the comma, else as many as it has."""
    if digits is None:
        plain = f"{value:,.6f}".rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"
    else:
        plain = f"{value:,.{digits}f}"
    if texts.language == "hr":
        return plain.replace(",", _NARROW).replace(".", ",")
    return plain


def percent(texts: Texts, share: float, digits: int = 0) -> str:
    """A share 0..1 in percent."""
    sign = f"{_NARROW}%" if texts.language == "hr" else "%"
    return f"{number(texts, share * 100, digits)}{sign}"


def label(texts: Texts, path: str) -> str:
    """What a field is called; the path itself where nobody has named it."""
    key = f"settings.field.{path.replace('.', '_')}"
    return texts(key) if key in texts else path


def value(texts: Texts, path: str, shown: Any) -> str:
    """A field's value as people read it, on one line and not too long."""
    if shown is None:
        return texts("settings.value.unset")
    if path == _SIDE and f"settings.widget.{shown}" in texts:
        return texts(f"settings.widget.{shown}")
    if isinstance(shown, bool):
        return texts("settings.value.on" if shown else "settings.value.off")
    if path in _ENUMS:
        word, enum = _ENUMS[path]
        name = shown if isinstance(shown, str) else enum.Name(shown)
        key = f"settings.{word}.{name.lower()}"
        return texts(key) if key in texts else str(name)
    if isinstance(shown, int | float):
        if path in _SHARES:
            return percent(texts, shown, 1)
        return number(texts, shown, 2 if path in _THRESHOLDS else None)
    if isinstance(shown, Mapping):
        return _short("; ".join(f"{name}: {_item(texts, item)}" for name, item in shown.items()))
    if isinstance(shown, list | tuple):
        return _short(", ".join(_item(texts, item) for item in shown)) or texts("settings.value.unset")
    return _short(f"“{shown}”") if shown else texts("settings.value.empty")


def _item(texts: Texts, item: Any) -> str:
    if isinstance(item, Message):
        item = json_format.MessageToDict(item)
    if isinstance(item, Mapping):
        if "weekday" in item:
            day = texts(f"settings.weekday.{item['weekday']}")
            return f"{day} {item.get('from', '')}\N{EN DASH}{item.get('until', '')}"
        return " ".join(str(part) for part in item.values())
    return str(item)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
