"""Builds with DuckDB's ASOF JOIN what a training set in mode event must hold of a view, and compares all rows.

usage: asof_duckdb.py HISTORY.csv SPINE.csv OURS.parquet VIEW TTL_SECONDS FEATURE…   (a ttl of 0 is none)

DuckDB leaves open which of several rows with one event time wins, so of those the one that supersedes the others is chosen
first: by created_timestamp, where there is one, then by `place`, the order in which the rows were ingested. Prints JSON.
"""

import json
import sys

import duckdb

history, spine, ours, view, ttl, *features = sys.argv[1:]
duckdb.execute("set threads = 2")
names = [row[0] for row in duckdb.execute("describe select * from read_csv(?, all_varchar = true)", [history]).fetchall()]


def time(column):
    # times without a zone, so that no time zone of the machine comes into it
    return f"replace({column}, 'Z', '')::timestamp"


created = time("created") if "created" in names else "null::timestamp"
winning = ", ".join(
    f"""case when h._deleted or h.event < s.t - to_seconds({int(ttl) or 10**9}) then null else h."{feature}" end
        as "{view}__{feature}" """
    for feature in features
)
types = {row[0]: row[1] for row in duckdb.execute("describe select * from read_parquet(?)", [ours]).fetchall()}
typed = ", ".join(f'"{feature}"::{types[f"{view}__{feature}"]} as "{feature}"' for feature in features)
duckdb.execute(
    f"""create table theirs as
    with h as (
        select k::bigint as k, {time("event_timestamp")} as event, {created} as created, place::bigint as placed,
            coalesce(_deleted::boolean, false) as _deleted, {typed}
        from read_csv(?, all_varchar = true)
        qualify row_number() over (partition by k, event order by created desc, placed desc) = 1
    ), s as (select id::bigint as id, k::bigint as k, {time("event_timestamp")} as t from read_csv(?, all_varchar = true))
    select s.id, {winning} from s asof left join h on s.k = h.k and s.t >= h.event""",
    [history, spine],
)
columns = ", ".join(["id", *(f'"{view}__{feature}"' for feature in features)])
duckdb.execute(f"create table ours as select {columns} from read_parquet(?)", [ours])


def count(query):
    return duckdb.execute(f"select count(*) from ({query})").fetchone()[0]


first = f'"{view}__{features[0]}"'
print(
    json.dumps(
        {
            "rows": count("select * from theirs"),
            "with_values": count(f"select * from theirs where {first} is not null"),
            "only_ours": count(f"select {columns} from ours except all select {columns} from theirs"),
            "only_theirs": count(f"select {columns} from theirs except all select {columns} from ours"),
        }
    )
)
