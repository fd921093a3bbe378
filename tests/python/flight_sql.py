"""A client of Arrow Flight SQL. Prints one JSON document: what came, or what was refused.

flight_sql.py query ADDRESS QUERY [VALUES]       by ADBC; VALUES is a JSON list, a time in it is {"time": "2013-01-01T00:00:00+00:00"}
flight_sql.py objects ADDRESS                    by ADBC: the tables as catalog browsers show them
flight_sql.py abilities ADDRESS                  by ADBC: what the server says of itself
flight_sql.py pinned ADDRESS FOLDER QUERY COMMAND…    by pyarrow: the rows of a query that was planned before COMMAND ran in FOLDER, and
                                                 of the same query planned afterwards
flight_sql.py leave ADDRESS PAGE QUERY           by pyarrow: takes the first rows, says which lines of PAGE tell of queries, and goes
"""

import datetime
import json
import os
import subprocess
import sys
import urllib.request

import adbc_driver_manager
import pyarrow.flight
from adbc_driver_flightsql import dbapi


def connected(address):
    return dbapi.connect(address.replace("http:", "grpc:"), autocommit=True)


def value(written):
    if isinstance(written, dict):
        return datetime.datetime.fromisoformat(written["time"])
    return written


def query(address, text, values="[]"):
    with connected(address) as connection, connection.cursor() as cursor:
        parameters = [value(written) for written in json.loads(values)]
        try:
            cursor.execute(text, parameters=parameters or None)
            table = cursor.fetch_arrow_table()
        except adbc_driver_manager.Error as error:
            details = b" ".join(detail for _, detail in error.details or []).decode("latin-1")
            return {"refused": error.status_code.name, "message": str(error), "details": details}
    columns = [[field.name, str(field.type)] for field in table.schema]
    return {"columns": columns, "rows": [list(row.values()) for row in table.to_pylist()]}


def objects(address):
    with connected(address) as connection:
        (catalog,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        tables = []
        for schema in catalog["catalog_db_schemas"]:
            for table in schema["db_schema_tables"]:
                place, name = schema["db_schema_name"], table["table_name"]
                # this driver leaves remarks out of its objects, and has them in the table's schema
                said = {field.name: remarks(field) for field in connection.adbc_get_table_schema(name, db_schema_filter=place)}
                columns = [[column["column_name"], said[column["column_name"]]] for column in table["table_columns"]]
                tables.append({"schema": place, "name": name, "type": table["table_type"], "columns": columns})
    return {"catalog": catalog["catalog_name"], "tables": tables}


def remarks(field):
    return (field.metadata or {}).get(b"ARROW:FLIGHT:SQL:REMARKS", b"").decode()


def abilities(address):
    with connected(address) as connection:
        said = connection.adbc_get_info()
        types = connection.adbc_get_table_types()
    return {"vendor": said["vendor_name"], "version": said["vendor_version"], "types": types}


def field(number, payload):
    """A field of a protobuf message that holds bytes."""
    length, size = len(payload), bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes([number << 3 | 2]) + bytes(size) + payload


def planned(client, text):
    """The ticket of a statement."""
    name = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    command = field(1, name) + field(2, field(1, text.encode()))
    info = client.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(command))
    return info, info.endpoints[0].ticket


def rows(client, text_or_ticket):
    ticket = text_or_ticket if isinstance(text_or_ticket, pyarrow.flight.Ticket) else planned(client, text_or_ticket)[1]
    return [list(row.values()) for row in client.do_get(ticket).read_all().to_pylist()]


def pinned(address, folder, text, *command):
    with pyarrow.flight.connect(address.replace("http:", "grpc:")) as client:
        info, ticket = planned(client, text)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HITHERTO_")}
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        reader = client.do_get(ticket)
        same = reader.schema.equals(info.schema, check_metadata=True)
        before = [list(row.values()) for row in reader.read_all().to_pylist()]
        return {"before": before, "same_schema": same, "after": rows(client, text)}


def leave(address, page, text):
    with pyarrow.flight.connect(address.replace("http:", "grpc:")) as client:
        reader = client.do_get(planned(client, text)[1])
        first = reader.read_chunk().data.num_rows
        with urllib.request.urlopen(page) as answer:
            lines = [line for line in answer.read().decode().splitlines() if line.startswith("hitherto_sql_queries")]
        reader.cancel()
    return {"first": first, "lines": lines}


command, *arguments = sys.argv[1:]
done = {"query": query, "objects": objects, "abilities": abilities, "pinned": pinned, "leave": leave}[command](*arguments)
print(json.dumps(done, default=str))
