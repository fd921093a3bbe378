"""Someone who is asked, in a process of its own that goes on, with the peers' Python; or once.

usage: asked.py ours ADDRESS            by Flight SQL of a running server
       asked.py duckdb FILES.json       DuckDB over the Parquet files of each view: {"view": ["file", …]}
       asked.py duckdb FILES.json QUERY ends after this one

Reads a JSON document a line, {"query": …, "keep": FILE or null}, and answers each with a line: {"seconds": …, "rows": …}, from
the question until all rows are there as an Arrow table, or {"failed": …}. What is kept is an Arrow IPC file, or the text of the
last column where FILE ends with .txt.
"""
import json
import sys
import time

import pyarrow as pa


def main():
    who, where, *query = sys.argv[1:]
    ask = {"ours": ours, "duckdb": duckdb}[who](where)
    if query:
        print(ask(query[0]).num_rows)
        return
    for line in sys.stdin:
        print(json.dumps(answer(ask, **json.loads(line))), flush=True)


def answer(ask, query, keep):
    began = time.monotonic()
    try:
        rows = ask(query)
    except Exception as error:  # whatever it is, the one who asked is told
        return {"failed": f"{type(error).__name__}: {error}"}
    seconds = time.monotonic() - began
    if keep and keep.endswith(".txt"):
        with open(keep, "w") as file:
            file.writelines(f"{text}\n" for text in rows.columns[-1].to_pylist())
    elif keep:
        with pa.OSFile(keep, "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows)
    return {"seconds": seconds, "rows": rows.num_rows}


def ours(address):
    import pyarrow.flight as flight

    client = flight.connect(f"grpc://{address}")
    statement = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"

    def ask(query):
        command = field(1, statement) + field(2, field(1, query.encode()))
        info = client.get_flight_info(flight.FlightDescriptor.for_command(command))
        return pa.concat_tables([client.do_get(endpoint.ticket).read_all() for endpoint in info.endpoints])

    return ask


def field(number, payload):
    """A field of a protobuf message that holds bytes."""
    length, size = len(payload), bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes([number << 3 | 2]) + bytes(size) + payload


def duckdb(files):
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads = 2")
    connection.execute("set TimeZone = 'UTC'")
    with open(files) as file:
        for view, paths in json.load(file).items():
            listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
            connection.execute(f'create view "{view}" as select * from read_parquet([{listed}])')
    return lambda query: connection.sql(query).to_arrow_table()


main()
