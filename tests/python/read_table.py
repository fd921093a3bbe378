"""Reads one of our tables as a stranger would. usage: read_table.py deltalake|duckdb TABLE COLUMN…

Prints a JSON object: the columns that the table's log declares, and its rows in the order of their place in history.
`_sequence` is worked out as the documents say: `_commit_sequence` and the row's index in its file, or the file's own column
where it was compacted. Times are microseconds.

DuckDB's own Delta extension comes from DuckDB's site, which not every machine can reach. So DuckDB reads the Parquet
files, and which files count is taken from the log, through deltalake.
"""
import json
import os
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

reader, place, *columns = sys.argv[1:]
table = DeltaTable(place)
# one row a file: its path and its partition values, as the log has them
files = pa.table(table.get_add_actions(flatten=True)).to_pylist()
base_of = {file["path"]: file["partition._commit_sequence"] for file in files}


def with_deltalake():
    rows = table.to_pyarrow_table(columns=[*columns, "_sequence", "_commit_sequence"]).to_pylist()
    # rows of a file come in their order, and a file's base is its own
    seen = {}
    for row in rows:
        base = row.pop("_commit_sequence")
        if base is None:
            continue
        row["_sequence"] = base + seen.get(base, 0)
        seen[base] = seen.get(base, 0) + 1
    return rows


def with_duckdb():
    rows = []
    for path, base in base_of.items():
        schema = pq.read_schema(f"{place}/{path}")
        # DuckDB hands times with a zone to Python only where pytz is installed
        chosen = [
            f'epoch_us("{name}") as "{name}"' if pa.types.is_timestamp(schema.field(name).type) else f'"{name}"'
            for name in columns
        ]
        sequence = "_sequence" if base is None else f"file_row_number + {base} as _sequence"
        query = f"select {', '.join(chosen)}, {sequence} from read_parquet(?, file_row_number=true)"
        found = duckdb.execute(query, [f"{place}/{path}"])
        names = [column[0] for column in found.description]
        rows += [dict(zip(names, row)) for row in found.fetchall()]
    return rows


def plain(value):
    if hasattr(value, "timestamp"):
        return pc.cast(pa.scalar(value, pa.timestamp("us", "UTC")), pa.int64()).as_py()
    return value


rows = {"deltalake": with_deltalake, "duckdb": with_duckdb}[reader]()
rows = [{name: plain(value) for name, value in row.items()} for row in rows]
rows.sort(key=lambda row: row["_sequence"])
fields = {field.name: str(field.type) for field in pa.schema(table.schema().to_arrow())}
print(json.dumps({"schema": fields, "rows": rows}), flush=True)
# the packages' own threads may still run, and some end the process badly when it takes itself apart around them
os._exit(0)
