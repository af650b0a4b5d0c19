"""Reads the google.api.http annotations of RPCs and checks them against their messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from services.common.access import AccessRule, rule_of
from services.gateway.json_mapping import JsonMapping, MessageCodec
from services.gateway.transcoding.routes import Routes
from services.gateway.transcoding.template import Template, TemplateError, parse_template

WHOLE: Final = "*"
MASK_TYPE: Final = "google.protobuf.FieldMask"
MASK_FIELD: Final = "update_mask"
# A change, and what tries one without making it.
_MASKED: Final = frozenset({"PATCH", "POST"})


class BindingError(ValueError):
    """An annotation that does not fit its RPC: the gateway must not start with it."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC as the door needs it."""

    method: MethodDescriptor
    rule: AccessRule
    request: MessageCodec
    response: MessageCodec

    @property
    def service(self) -> str:
        """Full name of its service."""
        return str(self.method.containing_service.full_name)

    @property
    def path(self) -> str:
        """Its path in gRPC: "/package.Service/Method"."""
        return f"/{self.service}/{self.method.name}"

    @property
    def streams(self) -> bool:
        """Whether its answers are a stream."""
        return bool(self.method.server_streaming)


@dataclass(frozen=True, slots=True)
class Binding:
    """One HTTP face of an RPC.

    `body`: "*", a top-level field or "" (none); `response_body`: a top-level field or "" (all).
    """

    rpc: Rpc
    http_method: str
    template: Template
    body: str
    response_body: str

    @property
    def has_mask(self) -> bool:
        """Whether the request's update mask is filled in from the JSON."""
        field = self.rpc.request.descriptor.fields_by_name.get(MASK_FIELD)
        return (
            self.http_method in _MASKED
            and field is not None
            and field.message_type is not None
            and field.message_type.full_name == MASK_TYPE
        )


def bindings_of(service: ServiceDescriptor, mapping: JsonMapping) -> Iterator[Binding]:
    """All HTTP faces of a service's RPCs, additional bindings included. Raises BindingError, MissingRule."""
    for method in service.methods:
        options = method.GetOptions()
        if not options.HasExtension(annotations_pb2.http):
            continue
        if method.client_streaming:
            raise BindingError(f"{method.full_name}: a stream of requests has no HTTP face")
        rpc = Rpc(
            method, rule_of(method), mapping.codec(method.input_type), mapping.codec(method.output_type)
        )
        rule = options.Extensions[annotations_pb2.http]
        yield _binding(rpc, rule)
        for further in rule.additional_bindings:
            if further.additional_bindings:
                raise BindingError(f"{method.full_name}: additional bindings are nested")
            yield _binding(rpc, further)


def build_routes(bindings: Iterable[Binding]) -> Routes[Binding]:
    """The routes of all bindings. Raises DuplicateRoute."""
    return Routes((binding.http_method, binding.template, binding) for binding in bindings)


def leaf(message: Descriptor, field_path: str) -> FieldDescriptor | None:
    """The field that a dotted proto path leads to through single messages; None where it leads nowhere."""
    field: FieldDescriptor | None = None
    inside: Descriptor | None = message
    for name in field_path.split("."):
        if inside is None or (field is not None and field.is_repeated):
            return None
        field = inside.fields_by_name.get(name)
        if field is None:
            return None
        inside = field.message_type
    return field


def _binding(rpc: Rpc, rule: HttpRule) -> Binding:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise BindingError(f"{rpc.path}: an http rule without a path")
    method = rule.custom.kind if kind == "custom" else kind.upper()
    text = rule.custom.path if kind == "custom" else getattr(rule, kind)
    try:
        template = parse_template(text)
    except TemplateError as error:
        raise BindingError(f"{rpc.path}: {error}") from None
    request, response = rpc.request.descriptor, rpc.response.descriptor
    for variable in template.variables:
        field = leaf(request, variable.field_path)
        if field is None or field.is_repeated or field.message_type is not None:
            raise BindingError(
                f"{rpc.path}: {variable.field_path!r} is no single scalar field of the request"
            )
    if rule.body not in ("", WHOLE) and rule.body not in request.fields_by_name:
        raise BindingError(f"{rpc.path}: body {rule.body!r} is no field of the request")
    if rule.response_body and rule.response_body not in response.fields_by_name:
        raise BindingError(f"{rpc.path}: response_body {rule.response_body!r} is no field of the response")
    return Binding(rpc, method, template, rule.body, rule.response_body)
