"""Queries by Arrow Flight SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.flight as flight
from google.protobuf import any_pb2
from google.protobuf.message import Message

from hitherto import wire_pb2 as wire
from hitherto.address import Address
from hitherto.errors import Internal, InvalidArgument
from hitherto.rows import Rows
from hitherto.shape import normal
from hitherto.transport import Flight

TYPES = "type.googleapis.com/arrow.flight.protocol.sql."

Params: TypeAlias = Sequence[Any] | Mapping[str, Any] | pa.RecordBatch | None
"""Values for `$1`, `$2`, … in their order, for `$name` by name, or one row of Arrow."""


def query(address: Address, text: str, params: Params, timeout: float | None) -> Rows:
    """The rows of `text`; returned once the first batch of them, or their end, is there."""
    stream = _stream(Flight(address, timeout), text, None if params is None else _row(params))
    return Rows(next(stream), stream)


def _stream(connection: Flight, text: str, params: pa.RecordBatch | None) -> Iterator[Any]:
    """The schema, then the batches of every endpoint; closes the statement and the connection behind them."""
    prepared: bytes | None = None
    try:
        if params is None:
            command: Message = wire.CommandStatementQuery(query=text)
        else:
            prepared = _prepare(connection, text)
            prepared = _bind(connection, prepared, params) or prepared
            command = wire.CommandPreparedStatementQuery(prepared_statement_handle=prepared)
        descriptor = flight.FlightDescriptor.for_command(_packed(command))
        info = connection.guarded(connection.client.get_flight_info)(descriptor, connection.options)
        is_first = True
        for endpoint in info.endpoints:
            reader = connection.guarded(connection.client.do_get)(endpoint.ticket, connection.options)
            try:
                if is_first:
                    yield _plain_schema(connection.guarded(lambda reader=reader: reader.schema)())
                    is_first = False
                for chunk in connection.chunks(reader):
                    if chunk.data is not None:
                        yield normal(chunk.data)
            finally:
                # what was not read need not be sent
                reader.cancel()
        if is_first:
            raise Internal("the server answers the query with no rows to fetch, not even none")
    finally:
        if prepared is not None:
            _close(connection, prepared)
        connection.close()


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return normal(pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)).schema


def _prepare(connection: Flight, text: str) -> bytes:
    """The handle of the query as a statement."""
    request = wire.ActionCreatePreparedStatementRequest(query=text)
    action = flight.Action("CreatePreparedStatement", _packed(request))
    results = connection.guarded(lambda: list(connection.client.do_action(action, connection.options)))()
    if not results:
        raise Internal("the server has prepared the query, and says not how to call it")
    made = _unpacked(results[0].body.to_pybytes(), wire.ActionCreatePreparedStatementResult())
    return made.prepared_statement_handle


def _bind(connection: Flight, handle: bytes, row: pa.RecordBatch) -> bytes | None:
    """Gives the statement its values; a server may name it anew with that."""
    command = wire.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    descriptor = flight.FlightDescriptor.for_command(_packed(command))

    def put() -> bytes | None:
        writer, reader = connection.client.do_put(descriptor, row.schema, connection.options)
        writer.write_batch(row)
        writer.done_writing()
        said = reader.read()
        writer.close()
        if said is None:
            return None
        result = wire.DoPutPreparedStatementResult()
        result.ParseFromString(said.to_pybytes())
        return result.prepared_statement_handle if result.HasField("prepared_statement_handle") else None

    return connection.guarded(put)()


def _close(connection: Flight, handle: bytes) -> None:
    action = flight.Action("ClosePreparedStatement", _packed(wire.ActionClosePreparedStatementRequest(prepared_statement_handle=handle)))
    try:
        list(connection.client.do_action(action, connection.options))
    except (pa.ArrowException, OSError):
        # the server forgets it by itself in time, and the answer is what counts
        pass


def _row(params: Sequence[Any] | Mapping[str, Any] | pa.RecordBatch) -> pa.RecordBatch:
    if isinstance(params, pa.RecordBatch):
        row = params
    elif isinstance(params, str | bytes):
        raise InvalidArgument("params are a list or a dict of values: write params=[value]")
    else:
        named = params if isinstance(params, Mapping) else {f"${place}": value for place, value in enumerate(params, 1)}
        try:
            columns = [value if isinstance(value, pa.Array) else pa.array([value]) for value in named.values()]
            row = pa.RecordBatch.from_arrays(columns, names=[str(name) for name in named])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InvalidArgument(f"could not take params as values: {error}") from error
    if row.num_rows != 1 or row.num_columns == 0:
        raise InvalidArgument(f"params have {row.num_columns} values and {row.num_rows} rows; a query takes one row of at least one value")
    return row


def _packed(message: Message) -> bytes:
    name = message.DESCRIPTOR.name
    return any_pb2.Any(type_url=TYPES + name, value=message.SerializeToString()).SerializeToString()


def _unpacked(body: bytes, into: wire.ActionCreatePreparedStatementResult) -> wire.ActionCreatePreparedStatementResult:
    wrapped = any_pb2.Any.FromString(body)
    if wrapped.type_url != TYPES + into.DESCRIPTOR.name:
        raise Internal(f"the server answers a prepared statement with '{wrapped.type_url}'")
    into.ParseFromString(wrapped.value)
    return into
