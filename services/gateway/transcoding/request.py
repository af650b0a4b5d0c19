"""Builds a request message out of path, query and body.

All three are put together as one JSON object under the caller's own names and decoded once, so that every
fault is named the same way.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from services.gateway.json_mapping import MessageCodec, parse_json
from services.gateway.json_values import Malformed
from services.gateway.json_well_known import well_known
from services.gateway.transcoding.binding import MASK_FIELD, WHOLE, Binding
from services.gateway.transcoding.template import Template

_MAX_PARAMETERS: Final = 200
# Fields of an update that are about the update itself (AIP-134, AIP-154, AIP-155), never a part of the mask.
_ABOUT_THE_UPDATE: Final = frozenset({MASK_FIELD, "etag", "request_id", "validate_only", "allow_missing"})
_NO_TEXT_FORM: Final = frozenset(
    {"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"}
)


def build_request(
    binding: Binding, template: Template, segments: list[str], query: bytes, body: bytes
) -> Message:
    """The message of a matched call. Raises Malformed; `body` is not looked at where the binding has none."""
    codec = binding.rpc.request
    variables = {variable.field_path: variable.value(segments) for variable in template.variables}
    written: dict[str, Any] = {}
    content: dict[str, Any] = {}
    if binding.body == WHOLE:
        content = parse_json(body)
        if type(content) is not dict:
            raise Malformed("must be a JSON object")
        written = dict(content)
    elif binding.body:
        content = parse_json(body)
        written[codec.descriptor.fields_by_name[binding.body].json_name] = content
    for name, value in parse_query(query):
        _put_parameter(written, codec, binding, variables, name, value)
    for path, text in variables.items():
        _put_variable(written, codec, path, text)
    message: Message = codec.decode(written)
    if binding.has_mask:
        _fill_mask(message, codec, binding, variables, content)
    return message


def parse_query(query: bytes) -> list[tuple[str, str]]:
    """Names and values in order. Raises Malformed."""
    if not query:
        return []
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except UnicodeDecodeError:
        raise Malformed("the query is not valid UTF-8") from None
    except ValueError:
        raise Malformed(f"the query has more than {_MAX_PARAMETERS} parameters") from None


def _put_parameter(
    written: dict[str, Any],
    codec: MessageCodec,
    binding: Binding,
    variables: dict[str, str],
    name: str,
    value: str,
) -> None:
    holder, inside, proto = written, codec, []
    *outer, last = name.split(".")
    for part in outer:
        field = _field(inside, part, name)
        nested = inside.nested(field.name)
        if nested is None:
            raise Malformed("is not a parameter here", name)
        proto.append(field.name)
        holder, inside = holder.setdefault(part, {}), nested
    field = _field(inside, last, name)
    proto.append(field.name)
    path = ".".join(proto)
    if binding.body == WHOLE:
        raise Malformed("is not taken from the query: write it in the body", name)
    if proto[0] == binding.body or path in variables:
        where = "body" if proto[0] == binding.body else "path"
        raise Malformed(f"is not taken from the query: it stands in the {where}", name)
    single = _from_text(field, value, name)
    if field.is_repeated:
        holder.setdefault(last, []).append(single)
    elif last in holder:
        raise Malformed("is given more than once", name)
    else:
        holder[last] = single


def _field(codec: MessageCodec, part: str, name: str) -> FieldDescriptor:
    proto_name = codec.field_for(part)
    if proto_name is None:
        raise Malformed("is not a parameter here", name)
    return codec.descriptor.fields_by_name[proto_name]


def _from_text(field: FieldDescriptor, text: str, name: str) -> Any:
    """What JSON would have in place of this text."""
    message = field.message_type
    if message is not None:
        if well_known(message) is None or message.full_name in _NO_TEXT_FORM:
            raise Malformed("is not a parameter here", name)
        if message.full_name.endswith("Value"):
            return _from_text(message.fields_by_name["value"], text, name)
        return text
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text.lower(), text)
    if field.enum_type is not None and text.isascii() and text.removeprefix("-").isdigit():
        return int(text[:20])
    return text


def _put_variable(written: dict[str, Any], codec: MessageCodec, path: str, text: str) -> None:
    holder, inside = written, codec
    *outer, last = path.split(".")
    for part in outer:
        key = _written_key(holder, inside, part)
        nested = inside.nested(part)
        if type(holder.setdefault(key, {})) is not dict or nested is None:
            raise Malformed("must be an object", key)
        holder[key] = dict(holder[key])
        holder, inside = holder[key], nested
    key = _written_key(holder, inside, last)
    value = _from_text(inside.descriptor.fields_by_name[last], text, path)
    given = holder.get(key)
    if given is not None and given != value and str(given) != text:
        raise Malformed("differs from the one in the path", key)
    holder[key] = value


def _written_key(holder: dict[str, Any], codec: MessageCodec, name: str) -> str:
    """The name under which the caller already wrote the field, else its JSON name."""
    json_name = codec.descriptor.fields_by_name[name].json_name
    return name if name in holder and json_name not in holder else json_name


def _fill_mask(
    message: Any,
    codec: MessageCodec,
    binding: Binding,
    variables: dict[str, str],
    content: Any,
) -> None:
    if message.HasField(MASK_FIELD):
        return
    inside: MessageCodec | None = codec if binding.body == WHOLE else codec.nested(binding.body)
    if inside is None or type(content) is not dict:
        return
    left_out = _ABOUT_THE_UPDATE | variables.keys()
    paths = inside.written_paths(content)
    message.update_mask.paths.extend(path for path in paths if path not in left_out)
