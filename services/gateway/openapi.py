"""/openapi.json: what is implemented, written from the descriptors alone.

Paths come from the http annotations, descriptions from the comments in the contracts, limits from their
validation rules. RPCs that are only planned are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.contract_comments import Comments
from services.gateway.field_rules import rules_as_schema
from services.gateway.json_values import WIDE_INTEGERS
from services.gateway.transcoding.binding import WHOLE, Binding

_SCALARS: Final[dict[int, dict[str, Any]]] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}
_WELL_KNOWN: Final[dict[str, dict[str, Any]]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "examples": ["1.5s"]},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["settings.brandName,name"]},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Empty": {"type": "object"},
}
# Those a path item can have; custom ones (PURGE) cannot be described.
_METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_ERRORS: Final = {
    "400": "Something in the call is wrong; the details name the field.",
    "401": "No bearer token, or one that is not valid.",
    "403": "The token does not allow this, or not for this tenant.",
    "404": "There is no such thing.",
    "409": "It exists already with other content, or was changed meanwhile.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "503": "A service that is needed cannot be reached; Retry-After says when to come back.",
    "504": "It took too long.",
}


class OpenApiPage:
    """The document, written on first demand."""

    def __init__(
        self, bindings: Iterable[Binding], comments: Callable[[], Comments], *, version: str
    ) -> None:
        """Takes all bindings of the door; `comments` is called when they are needed first."""
        self._bindings = tuple(bindings)
        self._comments = comments
        self._version = version
        self._body = b""

    async def get(self, _request: Request) -> Response:
        """GET /openapi.json."""
        if not self._body:
            self._body = orjson.dumps(document(self._bindings, self._comments(), version=self._version))
        return Response(self._body, media_type="application/json")


def document(bindings: Iterable[Binding], comments: Comments, *, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these bindings."""
    writer = _Writer(comments)
    paths: dict[str, dict[str, Any]] = {}
    services: dict[str, str] = {}
    for binding in bindings:
        method = binding.http_method.lower()
        if binding.rpc.rule.planned or method not in _METHODS:
            continue
        service = binding.rpc.method.containing_service
        services[service.name] = comments.of(service.full_name)
        path, operation = writer.operation(binding)
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Meta Chat Mesh",
            "version": version,
            "description": "Generated from the contracts in protos/. 64-bit integers are strings.",
        },
        "tags": [{"name": name, "description": text} for name, text in sorted(services.items())],
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": dict(sorted(writer.schemas.items())) | {"Error": _error_schema()},
            "responses": {
                f"Error{status}": {
                    "description": text,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
                for status, text in _ERRORS.items()
            },
        },
    }


class _Writer:
    """Writes operations and collects the schemas they need."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self.schemas: dict[str, dict[str, Any]] = {}
        self._faces: dict[str, int] = {}

    def operation(self, binding: Binding) -> tuple[str, dict[str, Any]]:
        """Path and operation of one binding."""
        rpc = binding.rpc
        request = rpc.request.descriptor
        in_path = {variable.field_path for variable in binding.template.variables}
        scopes = ", ".join(sorted(scope.lower() for scope in rpc.rule.scopes))
        name = rpc.rule.rpc.replace(".", "_")
        self._faces[name] = self._faces.get(name, 0) + 1
        operation: dict[str, Any] = {
            "operationId": name if self._faces[name] == 1 else f"{name}_{self._faces[name]}",
            "tags": [rpc.method.containing_service.name],
            "summary": self._comments.summary(rpc.method.full_name),
            "description": f"{self._comments.of(rpc.method.full_name)}\n\nScopes: {scopes}.",
            "parameters": [self._parameter(request, path, "path") for path in sorted(in_path)],
        }
        if binding.body == WHOLE:
            operation["requestBody"] = _json_body(self._without(request, in_path))
        elif binding.body:
            operation["requestBody"] = _json_body(self._value(request.fields_by_name[binding.body]))
        if binding.body != WHOLE:
            left_out = in_path | {binding.body}
            operation["parameters"] += [
                self._parameter(request, path, "query") for path in _query_paths(request, left_out)
            ]
        answer = self._reference(rpc.response.descriptor)
        if binding.response_body:
            answer = self._value(rpc.response.descriptor.fields_by_name[binding.response_body])
        kind = "text/event-stream" if rpc.streams else "application/json"
        description = self._comments.of(rpc.response.descriptor.full_name) or "The answer."
        if rpc.streams:
            description = f"Server-sent events, each one such object. {description}"
        operation["responses"] = {
            "200": {"description": description, "content": {kind: {"schema": answer}}},
            **{status: {"$ref": f"#/components/responses/Error{status}"} for status in _ERRORS},
        }
        return _openapi_path(binding), operation

    def _parameter(self, request: Descriptor, path: str, where: str) -> dict[str, Any]:
        field, names = _follow(request, path)
        schema = self._value(field)
        return {
            "name": path if where == "path" else ".".join(names),
            "in": where,
            "required": where == "path",
            "description": self._comments.of(field.full_name),
            "schema": schema,
        }

    def _without(self, message: Descriptor, paths: set[str]) -> dict[str, Any]:
        """The message's schema as a body: fields of the path need not be repeated in it."""
        if not paths:
            return self._reference(message)
        schema = self._object(message)
        for path in paths:
            if "." not in path:
                schema["properties"].pop(message.fields_by_name[path].json_name, None)
        return schema

    def _reference(self, message: Descriptor) -> dict[str, Any]:
        special = _special(message)
        if special is not None:
            return dict(special)
        name = message.full_name
        if name not in self.schemas:
            self.schemas[name] = {}  # on its way: types may hold themselves
            self.schemas[name] = self._object(message)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, message: Descriptor) -> dict[str, Any]:
        properties = {}
        for field in message.fields:
            schema = self._value(field)
            text = self._comments.of(field.full_name)
            properties[field.json_name] = schema | ({"description": text} if text else {})
        return {
            "type": "object",
            "description": self._comments.of(message.full_name),
            "properties": properties,
            "additionalProperties": False,
        }

    def _value(self, field: FieldDescriptor) -> dict[str, Any]:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            return {
                "type": "object",
                "additionalProperties": self._value(message.fields_by_name["value"]),
            }
        single = self._single(field)
        if not field.is_repeated:
            return single | rules_as_schema(field)
        items, array = rules_as_schema(field, items=True), rules_as_schema(field)
        return {"type": "array", "items": single | items} | array

    def _single(self, field: FieldDescriptor) -> dict[str, Any]:
        if field.message_type is not None:
            return self._reference(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return dict(_SCALARS[field.cpp_type])

    def _enum(self, enum: EnumDescriptor) -> dict[str, Any]:
        if enum.full_name not in self.schemas:
            scope = enum.full_name.rpartition(".")[0]
            lines = [f"{value.name}: {self._comments.of(f'{scope}.{value.name}')}" for value in enum.values]
            self.schemas[enum.full_name] = {
                "type": "string",
                "description": "\n".join([self._comments.of(enum.full_name), *lines]),
                "enum": [value.name for value in enum.values],
            }
        return {"$ref": f"#/components/schemas/{enum.full_name}"}


def _special(message: Descriptor) -> dict[str, Any] | None:
    if message.full_name in _WELL_KNOWN:
        return _WELL_KNOWN[message.full_name]
    if message.file.name == "google/protobuf/wrappers.proto":
        field = message.fields_by_name["value"]
        return {"type": "string"} if field.type in WIDE_INTEGERS else _SCALARS[field.cpp_type]
    return None


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _follow(message: Descriptor, path: str) -> tuple[FieldDescriptor, list[str]]:
    names: list[str] = []
    inside: Any = message
    field: Any = None
    for part in path.split("."):
        field = inside.fields_by_name[part]
        names.append(field.json_name)
        inside = field.message_type
    return field, names


def _query_paths(message: Descriptor, left_out: set[str], prefix: str = "", depth: int = 0) -> list[str]:
    """Proto paths of all fields that can stand in the query."""
    paths: list[str] = []
    for field in message.fields:
        path = prefix + field.name
        if path in left_out:
            continue
        inner = field.message_type
        if inner is None or (_special(inner) is not None and inner.full_name != "google.protobuf.Struct"):
            paths.append(path)
        elif not field.is_repeated and depth < 3 and _special(inner) is None:
            paths += _query_paths(inner, left_out, f"{path}.", depth + 1)
    return paths


def _openapi_path(binding: Binding) -> str:
    """The template with its variables bare: "/api/tenants/{tenant_id}:preview"."""
    parts: list[str] = []
    starts = {variable.start: variable for variable in binding.template.variables}
    index = 0
    while index < len(binding.template.segments):
        variable = starts.get(index)
        if variable is None:
            parts.append(binding.template.segments[index])
            index += 1
        else:
            parts.append(f"{{{variable.field_path}}}")
            index = variable.stop or len(binding.template.segments)
    verb = f":{binding.template.verb}" if binding.template.verb else ""
    return "/" + "/".join(parts) + verb


def _error_schema() -> dict[str, Any]:
    detail = {
        "type": "object",
        "description": "A google.rpc detail: ErrorInfo, BadRequest or RetryInfo.",
        "properties": {"@type": {"type": "string"}},
    }
    error = {
        "type": "object",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {"type": "string", "examples": ["INVALID_ARGUMENT"]},
            "message": {"type": "string"},
            "details": {"type": "array", "items": detail},
        },
    }
    return {"type": "object", "required": ["error"], "properties": {"error": error}}
