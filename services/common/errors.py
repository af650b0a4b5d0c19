"""The one table of what can go wrong: kind → gRPC code → HTTP status → reason.

`ServiceError` is what every service raises and what survives a hop between processes; its private `detail`
stays in the log. This module imports no grpc, so that pure code may raise from it.

Exception tree: `ServiceError` (one class; callers branch on `kind`, or on `reason` where a kind is too
coarse).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from google.rpc import code_pb2, error_details_pb2, status_pb2

if TYPE_CHECKING:
    import grpc

DOMAIN: Final = "metachat"
STATUS_KEY: Final = "grpc-status-details-bin"
# Status and details travel in one block of trailers, of which a peer takes 8 KB: text beyond these is cut.
_MESSAGE_BYTES: Final = 512
_DESCRIPTION_BYTES: Final = 256
_DETAILS_BYTES: Final = 2048
_MAX_FIELDS: Final = 16


class Kind(Enum):
    """What went wrong, as far as a caller can act on it.

    TOO_LARGE and RATE_LIMITED share a gRPC code: after a hop only its default reason tells TOO_LARGE, so it
    should keep that one.
    """

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    STALE = "stale"
    NOT_READY = "not_ready"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"

    @property
    def row(self) -> Row:
        """This kind's line of the table."""
        return TABLE[self]


class Row(NamedTuple):
    """One line of the table: number of the gRPC code, its name, HTTP status, default ErrorInfo.reason."""

    code: int
    code_name: str
    http: int
    reason: str


def _row(code_name: str, http: int, reason: str) -> Row:
    return Row(code_pb2.Code.Value(code_name), code_name, http, reason)


TABLE: Final[Mapping[Kind, Row]] = {
    Kind.INVALID: _row("INVALID_ARGUMENT", 400, "INVALID_ARGUMENT"),
    Kind.UNAUTHENTICATED: _row("UNAUTHENTICATED", 401, "UNAUTHENTICATED"),
    Kind.FORBIDDEN: _row("PERMISSION_DENIED", 403, "FORBIDDEN"),
    Kind.NOT_FOUND: _row("NOT_FOUND", 404, "NOT_FOUND"),
    Kind.CONFLICT: _row("ALREADY_EXISTS", 409, "CONFLICT"),
    Kind.STALE: _row("ABORTED", 409, "STALE"),
    Kind.NOT_READY: _row("FAILED_PRECONDITION", 400, "NOT_READY"),
    Kind.TOO_LARGE: _row("RESOURCE_EXHAUSTED", 413, "TOO_LARGE"),
    Kind.RATE_LIMITED: _row("RESOURCE_EXHAUSTED", 429, "RATE_LIMITED"),
    Kind.UNAVAILABLE: _row("UNAVAILABLE", 503, "UNAVAILABLE"),
    Kind.DEADLINE: _row("DEADLINE_EXCEEDED", 504, "DEADLINE_EXCEEDED"),
    Kind.CANCELLED: _row("CANCELLED", 499, "CANCELLED"),
    Kind.UNIMPLEMENTED: _row("UNIMPLEMENTED", 501, "UNIMPLEMENTED"),
    Kind.INTERNAL: _row("INTERNAL", 500, "INTERNAL"),
}

# Codes that we never send but a peer (or the gRPC library itself) may.
_FOREIGN: Final[Mapping[int, Kind]] = {
    code_pb2.OUT_OF_RANGE: Kind.INVALID,
    code_pb2.UNKNOWN: Kind.INTERNAL,
    code_pb2.DATA_LOSS: Kind.INTERNAL,
    code_pb2.OK: Kind.INTERNAL,
}
_BY_CODE: Final[Mapping[int, Kind]] = {
    **_FOREIGN,
    **{row.code: kind for kind, row in TABLE.items() if kind is not Kind.TOO_LARGE},
}


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One field at fault.

    `field` is its path in the request message as in the proto ("settings.confidence_escalation.mode",
    "passages[3].text"); `description` is a sentence for a person.
    """

    field: str
    description: str


class ServiceError(Exception):
    """Something a caller is told: `message` and `fields` are public, `detail` goes to the log alone.

    `reason` is an UPPER_SNAKE word for programs, by default that of the kind. `retry_after` is in seconds.
    `metadata` is public too: names and values that programs need (the holder of a claim, the two thresholds).
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        reason: str = "",
        fields: tuple[FieldFault, ...] = (),
        detail: str = "",
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Takes the kind and the public sentence; the rest is optional."""
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.reason = reason or kind.row.reason
        self.fields = tuple(fields)
        self.detail = detail
        self.retry_after = retry_after
        self.metadata: Mapping[str, str] = dict(metadata or {})

    def __repr__(self) -> str:
        return f"ServiceError({self.kind.name}, {self.message!r}, reason={self.reason!r})"


def invalid_field(field: str, description: str) -> ServiceError:
    """The error for one field at fault."""
    return ServiceError(Kind.INVALID, f"{field}: {description}", fields=(FieldFault(field, description),))


def to_status(error: ServiceError) -> status_pb2.Status:
    """The error as google.rpc.Status with ErrorInfo, and BadRequest and RetryInfo where they apply.

    Long texts are cut and fields beyond a bound are left out, so that the whole fits into the trailers of a
    call.
    """
    status = status_pb2.Status(code=error.kind.row.code, message=_cut(error.message, _MESSAGE_BYTES))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    room = _DETAILS_BYTES
    for key, value in error.metadata.items():
        room -= len(key) + len(value.encode())
        if room < 0:
            break
        info.metadata[key] = value
    status.details.add().Pack(info)
    if error.fields:
        bad = error_details_pb2.BadRequest()
        for fault in error.fields[:_MAX_FIELDS]:
            field, description = _cut(fault.field, 256), _cut(fault.description, _DESCRIPTION_BYTES)
            room -= len(field) + len(description.encode())
            if room < 0 and bad.field_violations:
                break
            bad.field_violations.add(field=field, description=description)
        status.details.add().Pack(bad)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMicroseconds(round(error.retry_after * 1_000_000))
        status.details.add().Pack(retry)
    return status


def from_status(status: status_pb2.Status) -> ServiceError:
    """The error that a google.rpc.Status stands for; the inverse of `to_status` but for the cut texts and
    `detail`.
    """
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(bad.DESCRIPTOR):
            detail.Unpack(bad)
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after = retry.retry_delay.ToMicroseconds() / 1_000_000
    kind = _BY_CODE.get(status.code, Kind.INTERNAL)
    if kind is Kind.RATE_LIMITED and (
        info.reason == TABLE[Kind.TOO_LARGE].reason or "larger than max" in status.message
    ):
        kind = Kind.TOO_LARGE
    return ServiceError(
        kind,
        status.message,
        reason=info.reason,
        fields=tuple(FieldFault(fault.field, fault.description) for fault in bad.field_violations),
        retry_after=retry_after,
        metadata=info.metadata,
    )


def from_rpc_error(error: grpc.RpcError) -> ServiceError:
    """The error behind a failed call: read from its status details where there are some, else from its code.

    Texts of codes that carry none of our details (a refused connection, a library's complaint) are for
    people on our side of the door: they become `detail`, and `message` is a plain sentence.
    """
    call: grpc.Call = error  # type: ignore[assignment]  # what calls raise is both
    code = int(call.code().value[0])
    for key, value in call.trailing_metadata() or ():
        if key == STATUS_KEY and isinstance(value, bytes):
            return from_status(status_pb2.Status.FromString(value))
    text = call.details() or ""
    kind = from_status(status_pb2.Status(code=code, message=text)).kind
    return ServiceError(kind, _PLAIN.get(kind, "the call failed"), detail=f"{call.code().name}: {text}")


_PLAIN: Final[Mapping[Kind, str]] = {
    Kind.UNAVAILABLE: "a service that is needed here cannot be reached; try again",
    Kind.DEADLINE: "the call took too long",
    Kind.CANCELLED: "the call was cancelled",
    Kind.TOO_LARGE: "the message is too large",
    Kind.UNIMPLEMENTED: "the called service does not offer this",
}


def _cut(text: str, limit: int) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"
