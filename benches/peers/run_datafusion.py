"""The training set by DataFusion, which has no as-of join: per view a window function over spine and history.

usage: run_datafusion.py DATA OUT.parquet

A view's rows and the spine's are put in one order by key, event time, and created time; the last row of history before
a row of the spine is its winner, if it is no older than seven days.
"""
import sys

from datafusion import SessionConfig, SessionContext

# view: key, features
VIEWS = {
    "user_daily": ("user_id", [f"d_f{i}" for i in range(10)]),
    "user_txn": ("user_id", [f"t_f{i}" for i in range(5)]),
    "merchant_hourly": ("merchant_id", [f"m_f{i}" for i in range(5)]),
}


def main(data, out):
    context = SessionContext(SessionConfig().with_target_partitions(2))
    for table in ("spine", *VIEWS):
        context.register_parquet(table, f"{data}/{table}.parquet")
    columns, joins = ["s.*"], []
    for view, (key, features) in VIEWS.items():
        columns += [f"{view}.{feature}" for feature in features]
        joins.append(f"left join ({winners(view, key, features)}) {view} on s.spine_id = {view}.spine_id")
    context.sql(f"select {', '.join(columns)} from spine s {' '.join(joins)}").write_parquet(out)


def winners(view, key, features):
    fields = ", ".join(f"'{name}', {name}" for name in ["event_timestamp", *features])
    nothing = "arrow_cast(null, 'Timestamp(Microsecond, Some(\"UTC\"))')"
    both = f"""select spine_id, {key}, event_timestamp, {nothing} as created_timestamp, 1 as side, null as history from spine
        union all
        select null, {key}, event_timestamp, created_timestamp, 0, named_struct({fields}) from {view}"""
    order = f"partition by {key} order by event_timestamp, side, created_timestamp"
    last = f"last_value(history) ignore nulls over ({order} rows unbounded preceding)"
    fresh = "winner['event_timestamp'] >= event_timestamp - interval '7 days'"
    picked = ", ".join(f"case when {fresh} then winner['{feature}'] end as {feature}" for feature in features)
    return f"""select spine_id, {picked}
        from (select spine_id, event_timestamp, {last} as winner from ({both})) where spine_id is not null"""


main(*sys.argv[1:3])
