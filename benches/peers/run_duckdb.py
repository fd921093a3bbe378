"""The training set by DuckDB's ASOF JOIN, 7-day window.

usage: run_duckdb.py DATA OUT.parquet [--no-ties]

Ties of one key and event time go to the later created time, then to the later row of the file, as ours do. With
--no-ties whichever row comes first wins: faster, and wrong wherever a row was corrected.
"""
import sys

import duckdb

# view: key, features
VIEWS = {
    "user_daily": ("user_id", [f"d_f{i}" for i in range(10)]),
    "user_txn": ("user_id", [f"t_f{i}" for i in range(5)]),
    "merchant_hourly": ("merchant_id", [f"m_f{i}" for i in range(5)]),
}


def build(data, out, ties):
    columns, joins = [], []
    for view, (key, features) in VIEWS.items():
        fresh = f"{view}.event_timestamp >= s.event_timestamp - interval 7 day"
        columns += [f"case when {fresh} then {view}.{feature} end as {feature}" for feature in features]
        same = f"s.{key} = {view}.{key} and s.event_timestamp >= {view}.event_timestamp"
        joins.append(f"asof left join {history(data, view, key, ties)} {view} on {same}")
    spine = f"read_parquet('{data}/spine.parquet')"
    query = f"select s.*, {', '.join(columns)} from {spine} s {' '.join(joins)}"
    duckdb.execute("set threads = 2")
    duckdb.execute("set preserve_insertion_order = false")
    duckdb.execute(f"copy ({query}) to '{out}' (format parquet)")


def history(data, view, key, ties):
    if not ties:
        return f"read_parquet('{data}/{view}.parquet')"
    order = "created_timestamp desc, file_row_number desc"
    last = f"row_number() over (partition by {key}, event_timestamp order by {order}) = 1"
    table = f"read_parquet('{data}/{view}.parquet', file_row_number = true)"
    return f"(select * exclude (created_timestamp, file_row_number) from {table} qualify {last})"


build(*sys.argv[1:3], ties="--no-ties" not in sys.argv)
