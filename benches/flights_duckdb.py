"""The flights' training set by DuckDB's ASOF JOIN, on event time alone. usage: flights_duckdb.py DATA OUT.parquet
flights_duckdb.py --compare OURS.parquet THEIRS.parquet: how many rows differ.

Same spine, same features, same ttls, ties of one key and event time broken by created time, output in the spine's order.
"""
import sys

import duckdb

# view: key, has it a created time, ttl in hours, features and their names in the output
VIEWS = {
    "aircraft_last_leg": ("tailnum", True, None, ["arr_delay", "dep_delay", "distance"], {}),
    "origin_hour": ("origin", True, 3, ["departures", "mean_dep_delay", "p90_dep_delay"], {}),
    "carrier_day": ("carrier", True, 48, ["flights", "late_share", "cancelled_share"], {}),
    "weather": ("origin", False, 6, ["wind_gust", "wind_speed", "visib", "precip"], {"wind_gust": "gust"}),
}


def build(data, out):
    columns, joins = [], []
    for view, (key, created, ttl, features, renamed) in VIEWS.items():
        table = f"read_parquet('{data}/{view}.parquet')"
        if created:
            ties = f"row_number() over (partition by {key}, event_timestamp order by created_timestamp desc) = 1"
            table = f"(select * from {table} qualify {ties})"
        fresh = f"{view}.event_timestamp >= s.event_timestamp - interval {ttl} hour" if ttl else "true"
        columns += [f"case when {fresh} then {view}.{f} end as {renamed.get(f, f'{view}__{f}')}" for f in features]
        joins.append(
            f"asof left join {table} {view} on s.{key} = {view}.{key} and s.event_timestamp >= {view}.event_timestamp"
        )
    spine = f"(select * exclude (file_row_number), file_row_number as place from read_parquet('{data}/spine.parquet', file_row_number=true))"
    query = f"select s.* exclude (place), {', '.join(columns)} from {spine} s {' '.join(joins)} order by place"
    duckdb.execute(f"copy (select *, coalesce(gust, 0) > 25 as is_gusty from ({query})) to '{out}' (format parquet, compression zstd)")


def compare(ours, theirs):
    names = [row[0] for row in duckdb.execute("describe select * from read_parquet(?)", [theirs]).fetchall()]
    columns = ", ".join(f'"{name}"' for name in names)
    query = f"select count(*) from (select {columns}, file_row_number from read_parquet(?, file_row_number=true) except all \
              select {columns}, file_row_number from read_parquet(?, file_row_number=true))"
    rows = duckdb.execute("select count(*) from read_parquet(?)", [ours]).fetchone()[0]
    differ = duckdb.execute(query, [ours, theirs]).fetchone()[0]
    print(f"{rows} rows, {len(names)} columns: {differ} rows differ from DuckDB's in mode event")
    sys.exit(1 if differ else 0)


if sys.argv[1] == "--compare":
    compare(*sys.argv[2:])
else:
    build(*sys.argv[1:])
