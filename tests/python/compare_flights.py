"""Compares a table of ours with the Parquet file that was ingested into it. usage: compare_flights.py TABLE SOURCE

Prints a JSON object: rows by deltalake, by DuckDB, and in the source, and how many rows only one of the two has.
"""
import json
import sys

import duckdb
from deltalake import DeltaTable

place, source = sys.argv[1:]
table = DeltaTable(place)
files = table.file_uris()
columns = [row[0] for row in duckdb.execute("describe select * from read_parquet(?)", [source]).fetchall()]
chosen = ", ".join(f'"{name}"' for name in columns)


def count(query, *parameters):
    return duckdb.execute(f"select count(*) from ({query})", list(parameters)).fetchone()[0]


ours, theirs = f"select {chosen} from read_parquet(?)", f"select {chosen} from read_parquet(?)"
print(
    json.dumps(
        {
            "deltalake": table.to_pyarrow_dataset().count_rows(),
            "duckdb": count(ours, files),
            "source": count(theirs, source),
            "only_ours": count(f"{ours} except all {theirs}", files, source),
            "only_theirs": count(f"{theirs} except all {ours}", source, files),
        }
    )
)
