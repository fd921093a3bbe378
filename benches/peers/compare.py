"""How many rows of two training sets differ, whatever their order. usage: compare.py OURS.parquet THEIRS.parquet

Columns are matched by name; every row has its own spine_id, so rows that are in one file only are rows that differ.
"""
import sys

import duckdb

ours, theirs = sys.argv[1:3]
duckdb.execute("set threads = 2")
names = [row[0] for row in duckdb.execute("describe select * from read_parquet(?)", [theirs]).fetchall()]
columns = ", ".join(f'"{name}"' for name in names)
counts = [duckdb.execute("select count(*) from read_parquet(?)", [file]).fetchone()[0] for file in (ours, theirs)]
query = f"select count(*) from (select {columns} from read_parquet(?) except all select {columns} from read_parquet(?))"
differ = duckdb.execute(query, [ours, theirs]).fetchone()[0]
print(f"{counts[0]:,} rows, {len(names)} columns: {differ:,} rows differ")
sys.exit(1 if differ or counts[0] != counts[1] else 0)
