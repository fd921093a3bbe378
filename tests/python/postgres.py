"""Clients of PostgreSQL's protocol. Prints one JSON document: what came, or what was refused.

postgres.py adbc ADDRESS QUERY [VALUES]        by ADBC's driver; VALUES is a JSON list
postgres.py objects ADDRESS                    by ADBC's driver: the tables as catalog browsers show them, and the types of one
postgres.py psycopg ADDRESS QUERY [VALUES]     by psycopg, as text and as binary; a time in VALUES is {"time": "2013-01-01T00:00:00+00:00"},
                                               a decimal {"decimal": "1E-7"}
postgres.py asyncpg ADDRESS QUERY [VALUES]     by asyncpg, which fetches binary by portals, within a savepoint
postgres.py prepared ADDRESS QUERY [VALUES]    by psycopg: the same statement three times, prepared
postgres.py many ADDRESS COUNT BYTES           by psycopg: so many statements, prepared, and how many before one is refused
"""

import asyncio
import datetime
import decimal
import json
import sys

import adbc_driver_manager
import asyncpg
import psycopg
from adbc_driver_postgresql import dbapi


def uri(address):
    return f"postgresql://ada@{address}/hitherto"


def value(written):
    if isinstance(written, dict) and "decimal" in written:
        return decimal.Decimal(written["decimal"])
    if isinstance(written, dict):
        return datetime.datetime.fromisoformat(written["time"])
    return written


def adbc(address, text, values="[]"):
    with dbapi.connect(uri(address)) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(text, parameters=json.loads(values) or None)
            table = cursor.fetch_arrow_table()
        except adbc_driver_manager.Error as error:
            return {"state": error.sqlstate, "message": str(error)}
    columns = [[field.name, str(field.type)] for field in table.schema]
    return {"columns": columns, "rows": [list(row.values()) for row in table.to_pylist()]}


def objects(address):
    with dbapi.connect(uri(address), autocommit=True) as connection:
        catalogs = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        schema = connection.adbc_get_table_schema("legs")
    tables = []
    for catalog in catalogs:
        for place in catalog["catalog_db_schemas"] or []:
            for table in place["db_schema_tables"] or []:
                ordered = sorted(table["table_columns"], key=lambda column: column["ordinal_position"])
                columns = [[column["column_name"], column["remarks"]] for column in ordered]
                name, kind = table["table_name"], table["table_type"]
                tables.append({"schema": place["db_schema_name"], "name": name, "type": kind, "columns": columns})
    return {"tables": tables, "schema": {field.name: str(field.type) for field in schema}}


def by_psycopg(address, text, values="[]"):
    parameters = [value(written) for written in json.loads(values)]
    try:
        with psycopg.connect(uri(address)) as connection:
            rows = connection.execute(text, parameters).fetchall()
            binary = connection.execute(text, parameters, binary=True).fetchall()
    except psycopg.Error as error:
        return {"state": error.sqlstate, "message": str(error)}
    return {"rows": rows, "binary": binary}


def many(address, count, size):
    with psycopg.connect(uri(address), autocommit=True) as connection:
        connection.prepared_max = None
        for place in range(int(count)):
            try:
                connection.execute(f"select length('{'x' * int(size)}{place}') as n", prepare=True)
            except psycopg.Error as error:
                return {"prepared": place, "state": error.sqlstate, "after": connection.execute("select 1").fetchall()}
    return {"prepared": int(count)}


def by_asyncpg(address, text, values="[]"):
    parameters = [value(written) for written in json.loads(values)]

    async def rows():
        connection = await asyncpg.connect(uri(address))
        try:
            async with connection.transaction():
                # the inner one is a savepoint
                async with connection.transaction():
                    return await connection.fetch(text, *parameters)
        finally:
            await connection.close()

    try:
        return {"rows": [list(row.values()) for row in asyncio.run(rows())]}
    except asyncpg.PostgresError as error:
        return {"state": error.sqlstate, "message": str(error)}


def prepared(address, text, values="[]"):
    parameters = [value(written) for written in json.loads(values)]
    rows = []
    with psycopg.connect(uri(address), autocommit=True) as connection:
        for _ in range(3):
            rows += connection.execute(text, parameters, prepare=True).fetchall()
    return {"rows": rows}


verb, *arguments = sys.argv[1:]
ways = {"adbc": adbc, "objects": objects, "psycopg": by_psycopg, "asyncpg": by_asyncpg, "prepared": prepared, "many": many}
said = ways[verb](*arguments)
print(json.dumps(said, default=str))
