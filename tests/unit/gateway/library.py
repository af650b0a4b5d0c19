"""A service with every kind of google.api.http rule, made for tests: `gateway.test.Library`."""

from __future__ import annotations

from typing import Any

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf import descriptor_pb2 as d
from google.protobuf import descriptor_pool, field_mask_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor import ServiceDescriptor
from metachat.access.v1 import access_pb2

_KINDS = d.FieldDescriptorProto
_SCALARS = {
    "string": _KINDS.TYPE_STRING,
    "int32": _KINDS.TYPE_INT32,
    "int64": _KINDS.TYPE_INT64,
    "bool": _KINDS.TYPE_BOOL,
    "double": _KINDS.TYPE_DOUBLE,
}
_MESSAGES: dict[str, tuple[str, ...]] = {
    "Author": ("name:string", "born:int32", "home:.gateway.library.Place"),
    "Place": ("city:string", "country_code:string"),
    "Book": (
        "name:string",
        "title:string",
        "pages:int32",
        "author:.gateway.library.Author",
        "tags:*string",
        "kind:@Kind",
    ),
    "GetBookRequest": (
        "name:string",
        "view:@Kind",
        "kinds:*@Kind",
        "tags:*string",
        "max_pages:int64",
        "author:.gateway.library.Author",
        "books:*.gateway.library.Book",
        "since:.google.protobuf.Timestamp",
        "read_mask:.google.protobuf.FieldMask",
        "limit:.google.protobuf.Int32Value",
        "deep:bool",
        "weight:double",
    ),
    "UpdateBookRequest": (
        "book:.gateway.library.Book",
        "update_mask:.google.protobuf.FieldMask",
        "etag:string",
    ),
    "PutBookRequest": ("shelf:string", "name:string", "title:string", "author:.gateway.library.Author"),
    "Shelf": ("name:string", "books:*.gateway.library.Book"),
}
_RULES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    (
        "GetBook",
        "GetBookRequest",
        "Book",
        {"get": "/v1/{name=shelves/*/books/*}", "additional_bindings": [{"get": "/v1/books/{name}"}]},
    ),
    ("FindFile", "GetBookRequest", "Book", {"get": "/v1/files/{name=**}"}),
    ("FindTail", "GetBookRequest", "Book", {"get": "/v1/tails/{name=under/**}:open"}),
    (
        "UpdateBook",
        "UpdateBookRequest",
        "Book",
        {"patch": "/v1/{book.name=shelves/*/books/*}", "body": "book"},
    ),
    ("PutBook", "PutBookRequest", "Book", {"put": "/v1/shelves/{shelf}/books/{name}", "body": "*"}),
    (
        "MoveBook",
        "PutBookRequest",
        "Book",
        {"post": "/v1/shelves/{shelf}/books/{name}:move", "body": "*"},
    ),
    ("SetAuthor", "PutBookRequest", "Book", {"put": "/v1/shelves/{shelf}/author", "body": "author"}),
    ("NestedAuthor", "PutBookRequest", "Book", {"post": "/v1/authors/{author.home.city}", "body": "*"}),
    ("ListBooks", "GetBookRequest", "Shelf", {"get": "/v1/books", "response_body": "books"}),
    ("Purge", "GetBookRequest", "Shelf", {"custom": {"kind": "PURGE", "path": "/v1/books"}}),
)


def library() -> ServiceDescriptor:
    """The service; all calls see the same one."""
    pool = descriptor_pool.Default()
    try:
        return pool.FindServiceByName("gateway.library.Library")
    except KeyError:
        pass
    modules = (annotations_pb2, access_pb2, field_mask_pb2, timestamp_pb2, wrappers_pb2)
    file = d.FileDescriptorProto(
        name="gateway/library.proto",
        package="gateway.library",
        syntax="proto3",
        dependency=[module.DESCRIPTOR.name for module in modules],
    )
    enum = file.enum_type.add(name="Kind")
    for number, name in enumerate(("KIND_UNSPECIFIED", "NOVEL", "MAP")):
        enum.value.add(name=name, number=number)
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for number, entry in enumerate(fields, start=1):
            name, _, kind = entry.partition(":")
            repeated, kind = kind.startswith("*"), kind.removeprefix("*")
            if kind.startswith("."):
                values = {"type": _KINDS.TYPE_MESSAGE, "type_name": kind}
            elif kind.startswith("@"):
                values = {"type": _KINDS.TYPE_ENUM, "type_name": f".gateway.library.{kind[1:]}"}
            else:
                values = {"type": _SCALARS[kind]}
            label = _KINDS.LABEL_REPEATED if repeated else _KINDS.LABEL_OPTIONAL
            message.field.add(name=name, number=number, label=label, **values)
    service = file.service.add(name="Library")
    for name, takes, gives, rule in _RULES:
        method = service.method.add(
            name=name, input_type=f".gateway.library.{takes}", output_type=f".gateway.library.{gives}"
        )
        method.options.Extensions[annotations_pb2.http].CopyFrom(HttpRule(**rule))
        method.options.Extensions[access_pb2.rule].open = True
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("gateway.library.Library")
