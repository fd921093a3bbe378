"""Training sets over Flight, as a client of pyarrow asks for them. Prints what came as JSON.

flight_training_set.py exchange SERVER COMMAND SPINE OUT   SPINE: a Parquet file, or - for none; what comes goes to OUT
flight_training_set.py types SERVER COMMAND                a spine with types that are easily lost
flight_training_set.py fetch SERVER DATASET OUT            one that is there
flight_training_set.py leave SERVER COMMAND PHASE SPINE    goes away when it is told that PHASE is under way
"""

import datetime
import decimal
import json
import sys

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as parquet

ROWS_AT_ONCE = 1000


class Came:
    """What came down, to the end."""

    def __init__(self, reader):
        self.batches, self.progress, self.dataset = [], 0, None
        while True:
            try:
                chunk = reader.read_chunk()
            except StopIteration:
                break
            if chunk.data is not None:
                self.batches.append(chunk.data)
            if chunk.app_metadata is not None:
                said = json.loads(chunk.app_metadata.to_pybytes())
                self.progress += "progress" in said
                self.dataset = said.get("dataset", self.dataset)
        self.table = pa.Table.from_batches(self.batches, reader.schema)

    def told(self):
        return {"rows": self.table.num_rows, "columns": self.table.schema.names, "progress": self.progress,
                "dataset": self.dataset}


def begin(client, command):
    return client.do_exchange(flight.FlightDescriptor.for_command(command))


def exchange(client, command, spine):
    writer, reader = begin(client, command)
    with writer:
        if spine is None:
            # the descriptor goes with the first message, whatever that is
            writer.write_metadata(b"")
        else:
            writer.begin(spine.schema)
            writer.write_table(spine, max_chunksize=ROWS_AT_ONCE)
        writer.done_writing()
        return Came(reader)


def motley():
    """A spine of the weather with a column of each type that is easily lost."""
    utc = datetime.timezone.utc
    times = [datetime.datetime(2013, 1, 1, hour, 30, tzinfo=utc) for hour in (11, 11, 3)]
    sizes = pa.DictionaryArray.from_arrays(pa.array([2, None, 1], pa.int8()), ["never", "small", "large"], ordered=True)
    numbers = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.int8()), pa.array([7, 9]))
    views = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1], pa.uint32()), pa.array(["b", "a"], pa.string_view()))
    nano = pa.array([1_500, None, -1], pa.timestamp("ns", "America/New_York"))
    columns = {
        "airport": pa.array(["JFK", "EWR", "JFK"]).dictionary_encode(),
        "event_timestamp": pa.array(times, pa.timestamp("ns", "Europe/Berlin")),
        "prepaid": pa.array([1.0, 2.0, 3.0]),
        "zone": nano,
        "naive_s": pa.array([7, None, 8], pa.timestamp("s")),
        "time": pa.array([1, 2, 3], pa.time32("s")),
        "day": pa.array([datetime.date(2013, 1, 1), None, None]),
        "millis_day": pa.array([0, None, 86_400_000], pa.date64()),
        "took": pa.array([1, None, 2], pa.duration("ms")),
        "flag": pa.array([True, None, False]),
        "nothing": pa.nulls(3),
        "large": pa.array(["x", None, ""], pa.large_string()),
        "view": pa.array(["a text that is too long for a view", None, "c"], pa.string_view()),
        "bytes": pa.array([b"a", None, b""], pa.large_binary()),
        "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
        "half": pa.array([1.5, None, 2.5], pa.float16()),
        "cents": pa.array([decimal.Decimal("1.05"), None, decimal.Decimal("-0.05")], pa.decimal128(9, 2)),
        "small": pa.array([65_535, None, 0], pa.uint16()),
        "list": pa.array([[1, None], None, []], pa.list_(pa.int32())),
        "large_list": pa.array([["a"], None, []], pa.large_list(pa.large_string())),
        "vector": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
        "pair": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}], pa.struct({"a": pa.int8(), "b": pa.string()})),
        "size": sizes,
        "number": numbers,
        "coded_view": views,
    }
    fields = [pa.field(name, array.type, nullable=name != "prepaid") for name, array in columns.items()]
    fields[3] = fields[3].with_metadata({"unit": "h"})
    return pa.table(list(columns.values()), pa.schema(fields, {"pandas": "{}"}))


def types(client, command):
    sent = motley()
    came = exchange(client, command, sent).table
    spine = came.select(sent.schema.names)
    lost = [
        f"{field.name}: {field.type} -> {spine.schema.field(field.name).type}"
        for field in sent.schema
        if not field.equals(spine.schema.field(field.name), check_metadata=True)
        or not sent[field.name].combine_chunks().equals(spine[field.name].combine_chunks())
    ]
    kept = came.schema.metadata == sent.schema.metadata
    return {"lost": lost, "metadata": kept, "added": came.schema.names[len(sent.schema):], "gust": came["gust"].to_pylist()}


def leave(client, command, phase, spine):
    spine = parquet.read_table(spine)
    writer, reader = begin(client, command)
    writer.begin(spine.schema)
    writer.write_table(spine, max_chunksize=ROWS_AT_ONCE)
    if phase != "receiving":
        writer.done_writing()
    while True:
        chunk = reader.read_chunk()
        said = json.loads(chunk.app_metadata.to_pybytes()) if chunk.app_metadata is not None else {}
        if said.get("progress", {}).get("phase") == phase or chunk.data is not None:
            reader.cancel()
            return {"left": True}


def main(act, server, *arguments):
    client = flight.connect(server.replace("http://", "grpc://"))
    if act == "exchange":
        command, spine, out = arguments
        came = exchange(client, command, None if spine == "-" else parquet.read_table(spine))
        parquet.write_table(came.table, out)
        return came.told()
    if act == "types":
        return types(client, *arguments)
    if act == "fetch":
        dataset, out = arguments
        came = Came(client.do_get(flight.Ticket(json.dumps({"dataset": dataset}))))
        parquet.write_table(came.table, out)
        return came.told()
    return leave(client, *arguments)


try:
    print(json.dumps(main(*sys.argv[1:])))
except pa.ArrowException as error:
    # the text of some of its errors is a quoted one
    print(json.dumps({"error": str(error.args[0])}))
