"""Queries by Flight SQL against a stand-in: the messages, and the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
import pytest
import standins
from google.protobuf import any_pb2

import hitherto
from hitherto import wire_pb2 as wire

PREFIX = "type.googleapis.com/arrow.flight.protocol.sql."
ROWS = pa.table({"origin": pa.array(["EWR", "JFK"], pa.string_view()), "n": [1, 2]})


class Sql(flight.FlightServerBase):  # type: ignore[misc]
    """Answers every query with the same rows, from two endpoints, and keeps what came."""

    def __init__(self) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self.said: list[tuple[str, Any]] = []
        self.refuse: Exception | None = None

    def get_flight_info(self, context: Any, descriptor: Any) -> flight.FlightInfo:
        packed = any_pb2.Any.FromString(descriptor.command)
        name = packed.type_url.removeprefix(PREFIX)
        self.said.append((name, getattr(wire, name).FromString(packed.value)))
        if self.refuse is not None:
            raise self.refuse
        endpoints = [flight.FlightEndpoint(ticket, []) for ticket in (b"0", b"1")]
        return flight.FlightInfo(ROWS.schema, descriptor, endpoints, -1, -1)

    def do_get(self, context: Any, ticket: Any) -> Any:
        return flight.RecordBatchStream(ROWS.slice(int(ticket.ticket), 1))

    def do_action(self, context: Any, action: Any) -> Iterator[Any]:
        packed = any_pb2.Any.FromString(action.body.to_pybytes())
        name = packed.type_url.removeprefix(PREFIX)
        self.said.append((action.type, getattr(wire, name).FromString(packed.value)))
        if action.type == "CreatePreparedStatement":
            result = wire.ActionCreatePreparedStatementResult(prepared_statement_handle=b"h1").SerializeToString()
            answer = any_pb2.Any(type_url=f"{PREFIX}ActionCreatePreparedStatementResult", value=result)
            yield flight.Result(answer.SerializeToString())

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        packed = any_pb2.Any.FromString(descriptor.command)
        command = wire.CommandPreparedStatementQuery.FromString(packed.value)
        self.said.append((packed.type_url.removeprefix(PREFIX), (command, reader.read_all())))
        writer.write(wire.DoPutPreparedStatementResult(prepared_statement_handle=b"h2").SerializeToString())


@pytest.fixture
def server() -> Iterator[Sql]:
    server = Sql()
    yield server
    server.shutdown()


def client(server: Sql) -> hitherto.Client:
    return hitherto.Client(f"127.0.0.1:{server.port}")


def test_a_query_has_the_rows_of_every_endpoint(server: Sql) -> None:
    rows = client(server).sql("select 1")
    assert rows.schema == pa.schema({"origin": pa.string(), "n": pa.int64()})
    assert rows.to_arrow().to_pydict() == {"origin": ["EWR", "JFK"], "n": [1, 2]}
    assert rows.to_pandas()["n"].to_list() == [1, 2] and rows.to_polars()["n"].to_list() == [1, 2]
    assert [batch.num_rows for batch in rows.batches()] == [1, 1], "gathered rows may be read again"
    assert server.said == [("CommandStatementQuery", wire.CommandStatementQuery(query="select 1"))]


def test_rows_that_stream_are_read_once(server: Sql) -> None:
    with client(server).sql("select 1") as rows:
        assert [batch.num_rows for batch in rows.batches()] == [1, 1]
        with pytest.raises(RuntimeError, match="were read already"):
            rows.to_arrow()


@pytest.mark.parametrize(
    ("params", "names", "values"),
    [
        (["JFK", 3], ["$1", "$2"], ["JFK", 3]),
        ({"origin": "JFK"}, ["origin"], ["JFK"]),
        (pa.RecordBatch.from_pydict({"a": [1]}), ["a"], [1]),
    ],
)
def test_values_are_bound_and_never_written_into_the_text(server: Sql, params: Any, names: list[str], values: list[Any]) -> None:
    assert client(server).sql("select $1", params).to_arrow().num_rows == 2
    (created, bound, asked, closed) = server.said
    assert created == ("CreatePreparedStatement", wire.ActionCreatePreparedStatementRequest(query="select $1"))
    command, row = bound[1]
    assert command.prepared_statement_handle == b"h1"
    assert (row.column_names, [column[0].as_py() for column in row.columns]) == (names, values)
    assert asked == ("CommandPreparedStatementQuery", wire.CommandPreparedStatementQuery(prepared_statement_handle=b"h2"))
    assert closed == ("ClosePreparedStatement", wire.ActionClosePreparedStatementRequest(prepared_statement_handle=b"h2"))


@pytest.mark.parametrize(
    ("params", "reason"),
    [("JFK", "write params="), ([], "0 values and"), (pa.RecordBatch.from_pydict({"a": [1, 2]}), "2 rows"), ([object()], "as values")],
)
def test_what_are_no_values_is_refused(server: Sql, params: Any, reason: str) -> None:
    with pytest.raises(hitherto.InvalidArgument, match=reason):
        client(server).sql("select $1", params)
    assert server.said == []


def test_a_refusal_has_its_reason_and_hint(server: Sql) -> None:
    details = standins.details(3, "no table 'wether'", "INVALID_ARGUMENT", "did you mean 'weather'?")
    server.refuse = flight.FlightServerError("no table 'wether'", extra_info=details)
    for params in (None, [1]):
        with pytest.raises(hitherto.InvalidArgument, match="^no table 'wether'\nhint: did you mean 'weather'[?]$"):
            client(server).sql("select * from wether", params)
    assert server.said[-1][0] == "ClosePreparedStatement", "a statement that is refused is closed"
