"""Servers in this process that answer what a test tells them to."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.flight as flight
from google.protobuf import any_pb2, duration_pb2

from hitherto import wire_pb2 as wire
from hitherto.errors import DETAILS


def details(code: int, message: str, reason: str, hint: str = "", violations: dict[str, str] | None = None, retry: float = 0) -> bytes:
    """A `google.rpc.Status` as the server sends it."""

    def packed(name: str, message: Any) -> any_pb2.Any:
        return any_pb2.Any(type_url=f"type.googleapis.com/google.rpc.{name}", value=message.SerializeToString())

    sent = [packed("ErrorInfo", wire.ErrorInfo(reason=reason, domain="hitherto"))]
    if hint:
        sent.append(packed("Help", wire.Help(links=[wire.Help.Link(description=hint)])))
    if violations:
        listed = [wire.BadRequest.FieldViolation(field=field, description=text) for field, text in violations.items()]
        sent.append(packed("BadRequest", wire.BadRequest(field_violations=listed)))
    if retry:
        delay = duration_pb2.Duration(nanos=int(retry * 1e9))
        sent.append(packed("RetryInfo", wire.RetryInfo(retry_delay=delay)))
    return wire.Status(code=code, message=message, details=sent).SerializeToString()


class Refuse(Exception):
    """Makes a call end with a status."""

    def __init__(self, code: grpc.StatusCode, message: str, trailer: bytes | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.trailer = code, message, trailer


class _Status(grpc.Status):  # type: ignore[misc]
    def __init__(self, refuse: Refuse) -> None:
        self.code, self.details = refuse.code, refuse.message
        self.trailing_metadata = ((DETAILS, refuse.trailer),) if refuse.trailer is not None else ()


class Grpc:
    """Answers each method by a function from the request's bytes to the answer, and keeps what came."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.answers: dict[str, Callable[[bytes], Any]] = {}
        self.calls: list[tuple[str, bytes, dict[str, Any]]] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((_Handler(self),))
        anywhere = "127.0.0.1:0"
        port = self._server.add_secure_port(anywhere, credentials) if credentials else self._server.add_insecure_port(anywhere)
        self.address = f"127.0.0.1:{port}"

    def __enter__(self) -> Grpc:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, server: Grpc) -> None:
        self._server = server

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method
        metadata = dict(details.invocation_metadata)

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self._server.calls.append((method.rpartition("/")[2], request, metadata))
            try:
                answer: bytes = self._server.answers[method](request).SerializeToString()
                return answer
            except Refuse as refuse:
                context.abort_with_status(_Status(refuse))

        def stream(requests: Any, context: grpc.ServicerContext) -> Any:
            yield answer(b"", context)

        def answer_each(requests: Any, context: grpc.ServicerContext) -> Any:
            for request in requests:
                yield answer(request, context)

        if method.endswith("/PushStream"):
            return grpc.stream_stream_rpc_method_handler(answer_each)
        if "FlightService" in method:
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(answer)


class Flight(flight.FlightServerBase):  # type: ignore[misc]
    """Adds a column to a spine, as the server would, and keeps what came.

    Like the server it unpacks dictionaries, gives views for texts, and says how far it is before the first row.
    """

    def __init__(self, scheme: str = "grpc", **tls: Any) -> None:
        super().__init__(f"{scheme}://127.0.0.1:0", middleware={"headers": _Headers()}, **tls)
        self.address = f"127.0.0.1:{self.port}"
        self.commands: list[dict[str, Any]] = []
        self.headers: list[dict[str, list[str]]] = []
        self.spines: list[pa.Table] = []
        self.answer: Callable[[pa.Table], pa.Table] = with_delay
        self.refuse: list[Exception] = []
        """What the next exchanges end with, before they read anything."""
        self.fetched: list[bytes] = []
        self.manifest: dict[str, Any] = {"id": "ab12", "mode": "knowledge"}
        self._built: pa.Table | None = None

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def do_exchange(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        self.commands.append(json.loads(descriptor.command)["training_set"])
        self.headers.append(context.get_middleware("headers").headers)
        if self.refuse:
            raise self.refuse.pop(0)
        command = self.commands[-1]
        batches = [chunk.data for chunk in reader if chunk.data is not None]
        spine = pa.table({"k": [1, 2]}) if "spine_sql" in command else pa.Table.from_batches(batches, reader.schema)
        self.spines.append(spine)
        if command["progress"]:
            writer.write_metadata(json.dumps({"progress": {"phase": "reading", "rows": 5, "total": 10}}).encode())
        self._built = built = self.answer(spine)
        writer.begin(built.schema)
        for batch in built.to_batches(max_chunksize=2000):
            writer.write_batch(batch)
        writer.write_metadata(json.dumps({"dataset": self.manifest | {"rows": built.num_rows}}).encode())

    def do_get(self, context: Any, ticket: Any) -> Any:
        self.fetched.append(ticket.ticket)
        assert self._built is not None
        return flight.RecordBatchStream(self._built)


def with_delay(spine: pa.Table) -> pa.Table:
    """What a server might make of a spine: each row with its number, other layouts of the same values."""
    spine = spine.cast(pa.schema([field.with_type(pa.string_view()) if field.type == pa.string() else field for field in spine.schema]))
    spine = spine.replace_schema_metadata(None)
    legs = pa.array([f"leg {row}" for row in range(spine.num_rows)], pa.string_view())
    return spine.append_column("leg__delay", pa.array(range(spine.num_rows), pa.int32())).append_column("leg__name", legs)


class _Headers(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def start_call(self, info: Any, headers: dict[str, list[str]]) -> flight.ServerMiddleware:
        return _Kept(headers)


class _Kept(flight.ServerMiddleware):  # type: ignore[misc]
    def __init__(self, headers: dict[str, list[str]]) -> None:
        super().__init__()
        self.headers = headers
