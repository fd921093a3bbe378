"""Arrow Flight: one client a call, so that a failure's details are known to be this call's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.flight as flight

from hitherto.address import Address, pem
from hitherto.errors import DETAILS, Error, from_flight

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Flight:
    """A connection for one call after the other. pyarrow reads no details of a failure, so they are taken on their way."""

    def __init__(self, address: Address, timeout: float | None) -> None:
        self._seen = _Seen()
        options: dict[str, Any] = {"middleware": [self._seen]}
        if address.tls is not None:
            roots, certificate, key = pem(address.tls.roots), pem(address.tls.certificate), pem(address.tls.key)
            options |= {"tls_root_certs": roots, "cert_chain": certificate, "private_key": key}
        self.options = _options(address, timeout)
        try:
            self.client = flight.FlightClient(address.flight_location, **options)
        except (pa.ArrowException, OSError) as error:
            raise self.failure(error) from error

    def failure(self, error: BaseException) -> Error:
        """What `error`, which pyarrow has raised, means."""
        return from_flight(error, self._seen.details)

    def guarded(self, call: Callable[_P, _T]) -> Callable[_P, _T]:
        """`call` with its failures as ours."""

        @functools.wraps(call)
        def guarded(*arguments: _P.args, **named: _P.kwargs) -> _T:
            try:
                return call(*arguments, **named)
            except (pa.ArrowException, OSError) as error:
                raise self.failure(error) from error

        return guarded

    def chunks(self, reader: Any) -> Iterator[Any]:
        """What comes, up to the end."""
        read = self.guarded(reader.read_chunk)
        while True:
            try:
                chunk = read()
            except StopIteration:
                return
            yield chunk

    def close(self) -> None:
        self.client.close()


def _options(address: Address, timeout: float | None) -> flight.FlightCallOptions:
    headers = [(name.encode(), value.encode()) for name, value in address.metadata]
    return flight.FlightCallOptions(timeout=timeout, headers=headers)


class _Seen(flight.ClientMiddlewareFactory):  # type: ignore[misc]
    """Remembers the details of the last failure."""

    def __init__(self) -> None:
        super().__init__()
        self.details: bytes | None = None

    def start_call(self, info: object) -> flight.ClientMiddleware:
        self.details = None
        return _Watch(self)


class _Watch(flight.ClientMiddleware):  # type: ignore[misc]
    def __init__(self, seen: _Seen) -> None:
        super().__init__()
        self._seen = seen

    def received_headers(self, headers: dict[str, list[str | bytes]]) -> None:
        for value in headers.get(DETAILS, []):
            if isinstance(value, bytes):
                self._seen.details = value
