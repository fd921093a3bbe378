"""What can go wrong, one exception a kind, with the server's reason and hint.

Kinds are those of the server (`google.rpc.ErrorInfo.reason`), so that a program can tell them apart without reading text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import grpc
import pyarrow as pa
import pyarrow.flight as flight
from google.protobuf.message import DecodeError, Message

from hitherto import wire_pb2 as wire

DETAILS = "grpc-status-details-bin"
"""The trailer in which a `google.rpc.Status` travels."""


_M = TypeVar("_M", bound=Message)


class Violation(NamedTuple):
    """A part of a request that is wrong."""

    field: str
    """The field, the column, or file:line:column of a definition."""
    description: str
    """What is wrong with it."""


class Error(Exception):
    """Base of all that the client raises on purpose."""

    reason = "INTERNAL"
    """The kind, as the server names it: `NOT_FOUND`, `CONFLICT`, …"""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        hint: str | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason
        self.hint = hint
        """What to do about it, where the server says."""
        self.violations = list(violations)
        """Which parts of the request are wrong."""
        self.retry_after = retry_after
        """Seconds after which the server expects that the same call may succeed."""

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class NotFound(Error):
    """The thing named does not exist."""

    reason = "NOT_FOUND"


class AlreadyExists(Error):
    """The thing named exists already, and differs."""

    reason = "ALREADY_EXISTS"


class InvalidArgument(Error, ValueError):
    """The request is wrong, whatever the state of the system."""

    reason = "INVALID_ARGUMENT"


class Conflict(Error):
    """Somebody else changed the state first."""

    reason = "CONFLICT"


class Unavailable(Error):
    """A store or the server cannot be reached now."""

    reason = "UNAVAILABLE"


class Timeout(Unavailable, TimeoutError):
    """The answer did not come in time; what was asked for may have been done."""

    reason = "TIMEOUT"


class Exhausted(Error):
    """A limit is reached: disk, memory, concurrency, rows."""

    reason = "EXHAUSTED"


class Unsupported(Error):
    """A thing that this server cannot do."""

    reason = "UNSUPPORTED"


class Unauthenticated(Error):
    """The server wants a token, or does not know this one."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(Error):
    """The token's role does not cover this."""

    reason = "PERMISSION_DENIED"


class Cancelled(Error):
    """The call was cancelled before its end."""

    reason = "CANCELLED"


class Internal(Error):
    """A fault of the server, or an answer that contradicts itself."""


_BY_CODE: dict[int, type[Error]] = {
    1: Cancelled,
    3: InvalidArgument,
    4: Timeout,
    5: NotFound,
    6: AlreadyExists,
    7: PermissionDenied,
    8: Exhausted,
    9: InvalidArgument,
    10: Conflict,
    11: InvalidArgument,
    12: Unsupported,
    14: Unavailable,
    16: Unauthenticated,
}

# what pyarrow makes of a status that it receives, most special first
_BY_FLIGHT: list[tuple[type[BaseException], type[Error]]] = [
    (flight.FlightTimedOutError, Timeout),
    (flight.FlightCancelledError, Cancelled),
    (flight.FlightUnavailableError, Unavailable),
    (flight.FlightUnauthenticatedError, Unauthenticated),
    (flight.FlightUnauthorizedError, PermissionDenied),
    (pa.ArrowNotImplementedError, Unsupported),
    (pa.ArrowKeyError, NotFound),
    (pa.ArrowInvalid, InvalidArgument),
    (pa.ArrowCancelled, Cancelled),
]


def from_code(code: int, message: str, details: bytes | None) -> Error:
    """The exception for a gRPC status: its code and message, and the serialized `google.rpc.Status` if one came."""
    kind = _BY_CODE.get(code, Internal)
    status = _status(details)
    if status is None:
        return kind(message)
    said: dict[str, Any] = {"violations": []}
    for detail in status.details:
        name = detail.type_url.rpartition("/")[2]
        if name == "google.rpc.ErrorInfo":
            said["reason"] = _read(detail.value, wire.ErrorInfo()).reason or None
        elif name == "google.rpc.Help":
            said["hint"] = next((link.description for link in _read(detail.value, wire.Help()).links), None)
        elif name == "google.rpc.BadRequest":
            sent = _read(detail.value, wire.BadRequest()).field_violations
            said["violations"] += [Violation(one.field, one.description) for one in sent]
        elif name == "google.rpc.RetryInfo":
            delay = _read(detail.value, wire.RetryInfo()).retry_delay
            said["retry_after"] = delay.seconds + delay.nanos / 1e9
    return kind(status.message or message, **said)


def from_grpc(error: grpc.RpcError) -> Error:
    """The exception for what grpcio raises."""
    call: Any = error
    trailer = call.trailing_metadata() or ()
    details = next((value for key, value in trailer if key == DETAILS), None)
    return from_code(call.code().value[0], call.details() or "the server said nothing", details)


def from_flight(error: BaseException, details: bytes | None) -> Error:
    """The exception for what pyarrow raises; `details` is the trailer of the call, which pyarrow itself does not read."""
    details = details or getattr(error, "extra_info", None) or None
    message = _plain(str(error))
    status = _status(details)
    if status is not None:
        return from_code(status.code, message, details)
    kind = next((ours for theirs, ours in _BY_FLIGHT if isinstance(error, theirs)), Internal)
    return kind(message)


def _status(details: bytes | None) -> wire.Status | None:
    if not details:
        return None
    try:
        return wire.Status.FromString(details)
    except DecodeError:
        # a proxy may send anything; the plain status is still there
        return None


def _read(value: bytes, into: _M) -> _M:
    try:
        into.ParseFromString(value)
    except DecodeError:
        into.Clear()
    return into


def _plain(text: str) -> str:
    """A message without what pyarrow wraps around it."""
    text = re.sub(r"^(gRPC|Flight) returned [a-z ]+ error, with message: ", "", text)
    return re.sub(r"\. (Detail: |gRPC client debug context: |Client context: ).*$", "", text, flags=re.DOTALL)
